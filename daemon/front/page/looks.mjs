/** The fields for this browser's theme and language. */

import {choice, keepChoice} from "./api.mjs";
import {html, onValue, useState} from "./html.mjs";
import {applyTheme} from "./widgets.mjs";
import {language, LANGUAGES, setLanguage, t} from "./words.mjs";

const THEMES = ["system", "light", "dark"];

export function Looks() {
  const [theme, setTheme] = useState(choice("theme") || "system");
  const chooseTheme = (/** @type {string} */ name) => {
    setTheme(name);
    keepChoice("theme", name);
    applyTheme(name);
  };
  const chooseLanguage = (/** @type {string} */ code) => {
    keepChoice("language", code);
    setLanguage(code);
  };
  return html`<div class="row">
    <label>${t("theme")} <select value=${theme} onChange=${onValue(chooseTheme)}>${THEMES.map(each => html`<option key=${each}
      value=${each}>${t(`theme_${each}`)}</option>`)}</select></label>
    <label>${t("language")} <select value=${language.value} onChange=${onValue(chooseLanguage)}>${Object.entries(LANGUAGES).map(([code, name]) => html`<option
      key=${code} value=${code} lang=${code}>${name}</option>`)}</select></label>
  </div>`;
}
