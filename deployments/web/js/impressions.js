// Which places of a list were really seen: told to the server now and then, so that click-through has a denominator.
import { call } from "./api.js";
import { person, randomId, visit } from "./state.js";

const SEEN_MS = 1000;
const SHARE = 0.6;
const SEND_MS = 4000;

const told = new Set();
const timers = new Map();
let waiting = [];
let sending = 0;

const observer = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    clearTimeout(timers.get(target));
    timers.delete(target);
    if (isIntersecting) timers.set(target, setTimeout(() => seen(target), SEEN_MS));
  }
}, { threshold: SHARE });

/** Tell when this card has been in view for a second. */
export function watchCard(element, entry) {
  if (!entry.recommendation_id) return;
  element.dataset.list = entry.recommendation_id;
  observer.observe(element);
}

function seen(element) {
  observer.unobserve(element);
  timers.delete(element);
  const { id, list } = element.dataset;
  const who = person();
  const name = `${who} ${list} ${id}`;
  if (!element.isConnected || told.has(name)) return;
  told.add(name);
  waiting.push({ event_id: randomId(), user_id: who, item_id: id, type: "impression", session_id: visit, recommendation_id: list });
  sending ||= setTimeout(send, SEND_MS);
}

async function send() {
  const events = waiting;
  waiting = [];
  sending = 0;
  // Statistics only: what cannot be told is not worth a message to the person.
  await call("POST", "/v1/events", { events }).catch(() => {});
}
