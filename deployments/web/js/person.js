// Choosing whose lists are shown.
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { isStranger, on, person, setPerson } from "./state.js";

export function startPerson() {
  const dialog = byId("person-dialog");
  const input = byId("person-input");
  byId("person-change").addEventListener("click", () => {
    input.value = isStranger(person()) ? "" : person();
    dialog.showModal();
    input.focus();
  });
  byId("person-cancel").addEventListener("click", () => dialog.close());
  byId("person-new").addEventListener("click", () => become(""));
  byId("person-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) become(input.value.trim());
  });
  on("person", show);
  on("language", show);
  show();

  function become(id) {
    dialog.close();
    setPerson(id);
  }
}

function show() {
  const name = byId("person-name");
  name.textContent = isStranger(person()) ? t("person.stranger") : person();
  name.title = person();
}
