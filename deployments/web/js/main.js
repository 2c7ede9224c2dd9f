// The page, put together. Nothing is asked of the server before there is a key.
import { startChat } from "./chat.js";
import { startDials } from "./dials.js";
import { byId } from "./dom.js";
import { language, setLanguage, translatePage } from "./i18n.js";
import { startItemDialog } from "./itemdialog.js";
import { haveKey, startKeyDialog } from "./keydialog.js";
import { startPerson } from "./person.js";
import { loadAll, startRails } from "./rails.js";
import { on, readFragment } from "./state.js";
import { startStatus, watchStatus } from "./status.js";
import { show as showTrail, startTrail } from "./trail.js";

const SETTLE_MS = 2000;

readFragment();
translatePage();
byId("language").addEventListener("click", () => setLanguage(language() === "en" ? "zh" : "en"));
startKeyDialog(loadAll);
startPerson();
startTrail();
startDials();
startRails();
startChat();
startItemDialog();
startStatus();
// Replicas swap within a moment of each other: the lists wait until they agree.
let swapTimer = 0;
on("swap", () => {
  clearTimeout(swapTimer);
  swapTimer = setTimeout(loadAll, SETTLE_MS);
});

await haveKey();
await Promise.all([loadAll(), watchStatus()]);
showTrail();
