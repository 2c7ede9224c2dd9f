// English and Chinese. The choice is kept; without one the browser's language decides.
import en from "../text/en.js";
import zh from "../text/zh.js";
import { emit } from "./state.js";

const TEXTS = { en, zh };
const STORED = "tailorbird.language";
const LOCALES = { en: "en", zh: "zh-CN" };

let current = localStorage.getItem(STORED) ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!(current in TEXTS)) current = "en";

export const language = () => current;

/** The browser's own form of the language (dates in British or American order), where it speaks it. */
export const locale = () => (navigator.language.startsWith(current) ? navigator.language : LOCALES[current]);

/** The text of a name, with `{places}` filled in. */
export function t(name, values = {}) {
  const text = TEXTS[current][name] ?? TEXTS.en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, place) => (place in values ? String(values[place]) : whole));
}

export const hasText = (name) => name in TEXTS.en;

/** A number for people, with a fixed count of digits after the point. */
export const number = (value, digits = 2) =>
  value.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" });

export function setLanguage(value) {
  current = value;
  localStorage.setItem(STORED, value);
  translatePage();
  emit("language", value);
}

/** Fill in the texts of index.html. */
export function translatePage() {
  document.documentElement.lang = LOCALES[current];
  for (const element of document.querySelectorAll("[data-i18n]")) element.textContent = t(element.dataset.i18n);
  for (const element of document.querySelectorAll("[data-i18n-placeholder]")) {
    element.placeholder = t(element.dataset.i18nPlaceholder);
  }
  const button = document.getElementById("language");
  button.textContent = t("language.other");
  button.lang = current === "en" ? "zh" : "en";
  button.setAttribute("aria-label", `${t("language.other")} – ${t("language.switch")}`);
  document.getElementById("status").setAttribute("aria-label", t("status.label"));
}
