// What a Node program does with OpenAI's client. Arguments: URL of `/v1`, key. Prints one JSON object.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const ask = (content, more = {}) =>
  client.chat.completions.create({ model: "tailorbird", user: "42", messages: [{ role: "user", content }], ...more });

const found = {};
found.models = (await client.models.list()).data.map((model) => model.id);

const whole = await ask("Something like Alien but funny", { n: 2, seed: 3, max_tokens: 80 });
found.choices = whole.choices.map((choice) => choice.message.content);
found.items = whole.tailorbird.item_ids;
found.usage = whole.usage;

const stream = await ask("A quiet drama, not horror", { stream: true, stream_options: { include_usage: true } });
const chunks = [];
for await (const chunk of stream) chunks.push(chunk);
found.streamed = chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");
found.finishes = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
found.streamed_usage = chunks.at(-1).usage;

try {
  await client.chat.completions.create({ model: "tailorbird", messages: [] });
} catch (error) {
  found.error = { name: error.constructor.name, status: error.status, type: error.type, message: error.message };
}
try {
  await new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list();
} catch (error) {
  found.stranger = { name: error.constructor.name, status: error.status };
}
console.log(JSON.stringify(found));
