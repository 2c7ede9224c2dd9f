// What the page remembers, and how its parts hear of changes. The person lives in this tab's session storage; no key does.

const bus = new EventTarget();

/** Hear of `person`, `events`, `dials`, `language`, `version`, `unauthorised`. */
export const on = (name, handler) => bus.addEventListener(name, (event) => handler(event.detail));
export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

const PERSON = "tailorbird.person";
const TRAIL = "tailorbird.trail";
const TRAIL_LENGTH = 30;

export const dials = { diversity: 0, explore: 0 };

/** `bytes` random bytes in hexadecimal. (`crypto.randomUUID` is missing on plain-http pages of other hosts.) */
export function randomId(bytes = 16) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** This visit: events carry it as their `session_id`. */
export const visit = randomId();

let given = "";

/** The key that the address held, once. */
export function takeKey() {
  const key = given;
  given = "";
  return key;
}

export const isStranger = (id) => id.startsWith("new-");

export function person() {
  let id = sessionStorage.getItem(PERSON);
  if (!id) {
    id = `new-${randomId(6)}`;
    sessionStorage.setItem(PERSON, id);
  }
  return id;
}

/** Become another person; without an id a new one. */
export function setPerson(id) {
  sessionStorage.setItem(PERSON, id || `new-${randomId(6)}`);
  emit("person", person());
}

/** What the person did on this page, newest first: `{type, id}`. */
export function trail() {
  const all = JSON.parse(sessionStorage.getItem(TRAIL) ?? "{}");
  return all[person()] ?? [];
}

export function addToTrail(type, id) {
  const all = JSON.parse(sessionStorage.getItem(TRAIL) ?? "{}");
  all[person()] = [{ type, id }, ...(all[person()] ?? [])].slice(0, TRAIL_LENGTH);
  sessionStorage.setItem(TRAIL, JSON.stringify(all));
}

/** What the person said last of an item here: `like`, `dislike` or nothing. */
export const verdict = (id) => trail().find((entry) => entry.id === id && entry.type !== "click")?.type;

/** Take `#key=...` and `#person=...` out of the address, so that neither is bookmarked, shared or seen. */
export function readFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (!fragment.has("key") && !fragment.has("person")) return;
  if (fragment.get("key")) given = fragment.get("key");
  if (fragment.get("person")) sessionStorage.setItem(PERSON, fragment.get("person"));
  history.replaceState(null, "", location.pathname + location.search);
}
