// Calls to the server: the session, deadlines, a second try when it is busy, and one kind of error for all that can go wrong.
import { t } from "./i18n.js";
import { frames } from "./sse.js";
import { emit } from "./state.js";

const DEADLINE_MS = 30_000;
const STREAM_DEADLINE_MS = 120_000;
const TRIES = 3;
const VISIBLE = /^[\x21-\x7e]+$/;
const LONGEST_WAIT_S = 3;
const SESSION = "/v1/session";
/** Says that there is a session cookie, which no script can see. */
const MARK = /(^|; )tailorbird_\d+_open=1/;

/** The session's token against requests that another site makes this browser send. */
let csrf = "";
let open;
/** Parts of the page may ask before there is a session: they wait for it. */
const opened = new Promise((resolve) => { open = resolve; });

/** Why a call failed. `status` is 0 when there was no answer. `message` is for people. */
export class ApiError extends Error {
  constructor(message, status, requestId = "", detail = "") {
    super(message);
    this.status = status;
    this.requestId = requestId;
    this.detail = detail;
  }
}

/** Exchange a key for a session: the browser keeps a cookie, the page keeps nothing. */
export async function signIn(key) {
  // A header takes visible ASCII only: any other key is wrong anyway, and the server may say so.
  csrf = (await call("POST", SESSION, undefined, undefined, `Bearer ${VISIBLE.test(key) ? key : "-"}`)).csrf_token;
  open();
}

/** Go on with the session that this browser has. */
export async function resume() {
  csrf = (await call("GET", SESSION)).csrf_token ?? "";
  open();
}

/** What goes as `X-CSRF-Token` with every call that changes something. */
export const csrfToken = () => csrf;

export const mayResume = () => MARK.test(document.cookie);

export const isAbort = (error) => error?.name === "AbortError";

/** The JSON answer of a call. All calls of the page may be repeated: events carry their id. */
export async function call(method, path, body, signal, authorization) {
  for (let tries = 1; ; tries++) {
    const response = await send(method, path, body, signal, DEADLINE_MS, authorization);
    if ((response.status === 429 || response.status === 503) && tries < TRIES) {
      await pause(Math.min(Number(response.headers.get("retry-after")) || 1, LONGEST_WAIT_S) * 1000, signal);
      continue;
    }
    if (!response.ok) throw await failure(response);
    return response.json();
  }
}

/** The frames of a streamed answer, `{event, data}`, with `data` parsed unless it is `[DONE]`. */
export async function* stream(path, body, signal) {
  const response = await send("POST", path, { ...body, stream: true }, signal, STREAM_DEADLINE_MS);
  if (!response.ok) throw await failure(response);
  try {
    for await (const frame of frames(response.body)) {
      yield { event: frame.event, data: frame.data === "[DONE]" ? frame.data : JSON.parse(frame.data) };
    }
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    throw noAnswer(error);
  }
}

/** The error that a problem document in a stream stands for. */
export const problemError = (problem) =>
  new ApiError(messageOf(problem.status ?? 500), problem.status ?? 500, problem.instance ?? "", problem.detail ?? problem.title ?? "");

async function send(method, path, body, signal, deadlineMs, authorization) {
  if (path !== SESSION) await opened;
  const sent = csrf;
  const response = await attempt(method, path, body, signal, deadlineMs, authorization);
  if (response.status !== 403 || method === "GET" || authorization) return response;
  // Another tab may have signed in anew, with which this one's token is over.
  await resume();
  return csrf === sent ? response : attempt(method, path, body, signal, deadlineMs);
}

async function attempt(method, path, body, signal, deadlineMs, authorization) {
  const deadline = AbortSignal.timeout(deadlineMs);
  const headers = authorization ? { Authorization: authorization } : { "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw noAnswer(error);
  }
}

async function failure(response) {
  let said = {};
  try {
    said = await response.json();
  } catch {
    // a proxy's plain page: the status says enough
  }
  if (response.status === 401) emit("unauthorised");
  const detail = said.detail ?? said.error?.message ?? "";
  return new ApiError(messageOf(response.status), response.status, response.headers.get("x-request-id") ?? "", detail);
}

function noAnswer(error) {
  return new ApiError(t(error?.name === "TimeoutError" ? "error.timeout" : "error.network"), 0);
}

function messageOf(status) {
  if (status === 401) return t("error.key");
  if (status === 403) return t("error.forbidden");
  if (status === 404) return t("error.notFound");
  if (status === 429 || status === 503) return t("error.busy");
  return t("error.server");
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
