// Comfort for the page; everything works without it. It finds its work by
// data-ly-* attributes, takes every word it says from them, and writes text
// only, never markup.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const language = document.querySelector(".ly-root")?.closest("[lang]")?.lang || "en";

// What a developer is told when this does not run.
for (const check of all("[data-ly-check]")) check.remove();

// Moments become relative; the exact one shows on hover and on focus.
const units = [["year", 31536e3], ["month", 2628e3], ["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
for (const time of all(".ly-root time[datetime*=T]")) {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  const exact = time.textContent.trim();
  time.dataset.lyExact = exact;
  time.title = exact;
  time.tabIndex = 0;
  time.textContent = relative.format(Math.round(seconds / length), unit);
}

// A pasted address shrinks to what stands before the suffix.
for (const suffix of all("[data-ly-suffix]")) {
  const input = suffix.previousElementSibling;
  input.addEventListener("change", () => {
    const host = input.value.trim().toLowerCase().replace(/^https?:\/\//, "").split("/")[0];
    const label = host.slice(0, -suffix.textContent.length);
    if (label && !/[.@:?# ]/.test(label) && host === label + suffix.textContent) input.value = label;
  });
}

// A form is sent once, however often its button is clicked: the answer to a second
// one would hide the key that the first one made. One that asks a platform says so
// while it waits. Who stopped the browser can send it again.
for (const button of all(".ly-root form [type=submit]")) {
  const form = button.form;
  const words = [...button.childNodes];
  let sent = false;
  const rest = () => {
    sent = false;
    button.replaceChildren(...words);
  };
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
    if (form.dataset.lyBusy) button.textContent = form.dataset.lyBusy;
    setTimeout(rest, 15e3);
  });
  addEventListener("pageshow", rest);
}

// Addresses in snippets are those the browser sees, whatever a proxy hides.
for (const element of all("[data-ly-absolute]")) {
  element.textContent = new URL(element.dataset.lyAbsolute, document.baseURI).href;
}

// A date typed into a choice chooses it, and another choice empties it.
for (const input of all("[data-ly-chooses]")) {
  const choice = byId(input.dataset.lyChooses);
  input.addEventListener("input", () => { choice.checked = true; });
  input.form.addEventListener("change", ({ target }) => {
    if (target.name === choice.name && !choice.checked) input.value = "";
  });
}

// A form with changes warns whoever leaves it by another way than its own.
for (const form of all("form[data-ly-guard]")) {
  let changed = document.querySelector(".ly-summary") !== null;
  form.addEventListener("input", () => { changed = true; });
  form.addEventListener("submit", () => { changed = false; });
  form.addEventListener("click", ({ target }) => { if (target.closest("a")) changed = false; });
  addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}

// The filter of a list by the headings of what is in it.
for (const box of all("[data-ly-filter]")) {
  const rows = [...byId(box.dataset.lyFilter).children];
  const said = box.querySelector("[role=status]");
  box.hidden = false;
  box.querySelector("input").addEventListener("input", ({ target }) => {
    const wanted = target.value.trim().toLocaleLowerCase(language);
    for (const row of rows) {
      row.hidden = !row.querySelector("th, h2").textContent.toLocaleLowerCase(language).includes(wanted);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    said.textContent = wanted && box.dataset.lyText.replace("{n}", shown).replace("{total}", rows.length);
  });
}

// What can be copied. Once the key is, the next step is to say so.
const saidBy = (button) => button.closest("section").querySelector("[data-ly-said]");
for (const button of all("[data-ly-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(byId(button.dataset.lyCopy));
    saidBy(button).textContent = done ? button.dataset.lyDone : button.dataset.lyFailed;
    const next = done && button.closest("section").querySelector("[data-ly-stored]");
    if (next) for (const b of [button, next]) b.classList.toggle("ly-quiet", b === button);
  });
}

// The reveal: the only copy of a key is on the screen.
const reveal = document.querySelector("[data-ly-reveal]");
if (reveal) {
  const done = reveal.querySelector("[data-ly-stored]");
  let stored = false;
  const warn = (event) => { if (!stored) event.preventDefault(); };

  addEventListener("beforeunload", warn);
  addEventListener("pagehide", () => {
    for (const element of all("[data-ly-secret]")) {
      if ("value" in element) element.value = element.defaultValue = "";
      else element.textContent = "";
    }
  });
  // Coming back finds no key, so it leads to the list.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.replace(done.href);
  });
  done.addEventListener("click", () => { stored = true; });

  for (const button of all("[data-ly-test]", reveal)) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.dataset, said = saidBy(button);
      said.textContent = text.lyWorking;
      said.textContent = text[await test(text.lyUrl, byId(text.lyTest).value)];
    });
  }
}

// copy uses the clipboard where there is one. On plain HTTP there is none, so
// the text is selected and copied the old way, or left selected for the user.
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    return true;
  } catch {
    source.focus();
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    }
  }
}

// test names the text that says whether the key was accepted.
async function test(url, key) {
  try {
    const answer = await fetch(url, {
      headers: { Authorization: "Bearer " + key },
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    if (answer.ok) return "lyOk";
    return answer.status === 401 || answer.status === 403 ? "lyBad" : "lyFailed";
  } catch {
    return "lyFailed";
  }
}
