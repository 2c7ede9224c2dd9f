// The two sliders.
import { byId } from "./dom.js";
import { number } from "./i18n.js";
import { dials, emit, on } from "./state.js";

export function startDials() {
  for (const name of ["diversity", "explore"]) {
    const slider = byId(name);
    const shown = byId(`${name}-value`);
    const show = () => { shown.textContent = number(dials[name], 2); };
    slider.value = dials[name];
    slider.addEventListener("input", () => {
      dials[name] = Number(slider.value);
      show();
      emit("dials");
    });
    on("language", show);
    show();
  }
}
