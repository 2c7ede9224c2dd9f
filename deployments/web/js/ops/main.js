// The operator's page, put together: it looks again every few seconds while it is visible.
import { ApiError, call } from "../api.js";
import { byId } from "../dom.js";
import { language, setLanguage, t, translatePage } from "../i18n.js";
import { haveKey, startKeyDialog } from "../keydialog.js";
import { on, readFragment } from "../state.js";
import { startStatus, watchStatus } from "../status.js";
import { History } from "./history.js";
import { startMap } from "./map.js";
import { startOutcomes } from "./outcomes.js";
import { showProcesses } from "./processes.js";
import { showRequests } from "./requests.js";
import { showTiles } from "./tiles.js";
import { showVersions } from "./versions.js";
import { showWriting } from "./writing.js";

const POLL_MS = 5000;

const history = new History();

readFragment();
translatePage();
byId("language").addEventListener("click", () => setLanguage(language() === "en" ? "zh" : "en"));
on("language", show);
startKeyDialog(look);
startStatus();

await haveKey();
await Promise.all([look(), watchStatus(), startOutcomes(), startMap()]);
setInterval(() => { if (!document.hidden) look(); }, POLL_MS);

async function look() {
  const fault = byId("fault");
  try {
    history.add(await call("GET", "/v1/ops"));
    fault.hidden = true;
  } catch (error) {
    fault.textContent = error instanceof ApiError ? error.message : String(error);
    fault.hidden = false;
  }
  show();
}

function show() {
  document.title = `Tailorbird – ${t("ops.title")}`;
  const now = history.newest;
  if (!now) return;
  showTiles(history);
  showRequests(history);
  showWriting(history);
  showProcesses(now);
  showVersions(now);
}
