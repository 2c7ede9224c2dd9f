// Telling the server what the person does. Nothing is shown as done before the server has stored it.
import { call, isAbort } from "./api.js";
import { notice } from "./dom.js";
import { t } from "./i18n.js";
import { addToTrail, emit, person, randomId, visit } from "./state.js";

/**
 * Store a `click`, `like` or `dislike`; whether it is stored. The lists hear of it by `events`.
 * `context` says what the person had read, so that texts have figures of their own.
 */
export async function record(type, itemId, recommendationId, context) {
  const who = person();
  const event = { event_id: randomId(), user_id: who, item_id: itemId, type, session_id: visit };
  if (recommendationId) event.recommendation_id = recommendationId;
  if (context) event.context = context;
  try {
    const answer = await call("POST", "/v1/events", { events: [event] });
    if (answer.rejected.length) throw new Error(answer.rejected[0].msg);
  } catch (error) {
    if (!isAbort(error)) notice(`${t("error.event")} ${error.message}`);
    return false;
  }
  if (person() !== who) return true;
  addToTrail(type, itemId);
  emit("events", { type, itemId });
  return true;
}

/** Tell for how many seconds the person looked at an item; statistics, so nobody hears when it fails. */
export function recordDwell(itemId, recommendationId, seconds, context) {
  const event = { event_id: randomId(), user_id: person(), item_id: itemId, type: "dwell", value: seconds, session_id: visit };
  if (recommendationId) event.recommendation_id = recommendationId;
  if (context) event.context = context;
  call("POST", "/v1/events", { events: [event] }).catch(() => {});
}
