"use strict";
/* The page: what is chosen, what is asked of the server, and what is shown. Texts are set as text, never as markup. */

const at = (id) => document.getElementById(id);
let models = [], waiting = 0, asking = null;

function say(text, isError, place = "status") {
  at(place).textContent = text;
  at(place).classList.toggle("error", Boolean(isError));
}

function options(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries.map(([value, text]) => {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = text;
    return option;
  }));
  if (entries.some(([value]) => value === before)) select.value = before;
}

function headers() {
  const key = at("key").value;
  return key ? { authorization: "Bearer " + String.fromCharCode(...new TextEncoder().encode(key)) } : {};
}

async function answered(answer) {
  if (answer.ok) return answer;
  const found = await answer.json().catch(() => ({}));
  throw new Error(found.error || "the server answered " + answer.status);
}

function post(body, signal) {
  const sent = { ...headers(), "content-type": "application/json" };
  return fetch("v1/translate", { method: "POST", headers: sent, body: JSON.stringify(body), signal }).then(answered);
}

/* What is chosen: the model, its languages, and the two sides: each a model, with its adapter or without. */
const chosenModel = () => models.find((one) => one.name === at("model").value);
const chosenPair = () => chosenModel().languages[Number(at("pair").value)];
const samePair = (one, pair) => one.languages.some((own) => own.source === pair.source && own.target === pair.target);

function sides() {
  const model = chosenModel(), other = at("other").value, found = [{ model, base: false, name: model.name }];
  if (other === "base") found.push({ model, base: true, name: model.name + " without its adapter" });
  else if (other) {
    const second = models.find((one) => one.name === other.slice(1));
    found.push({ model: second, base: false, name: second.name });
  }
  return found;
}

function named(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code.replaceAll("_", "-"));
  } catch {
    return code;
  }
}

function showPairs() {
  const pairs = chosenModel().languages;
  options(at("pair"), pairs.map((one, number) => [String(number), named(one.source) + " \u2192 " + named(one.target)]));
  showOthers();
}

function showOthers() {
  const model = chosenModel(), entries = [["", "nothing"]];
  if (model.kind === "adapter" && model.shares_base) entries.push(["base", "its base, without the adapter"]);
  const others = models.filter((one) => one !== model && samePair(one, chosenPair()));
  options(at("other"), [...entries, ...others.map((one) => ["=" + one.name, one.name])]);
  showSides();
}

function showSides() {
  const found = sides();
  at("second").hidden = found.length < 2;
  found.forEach((side, number) => {
    at("name-" + number).textContent = side.name;
    const link = at("report-" + number), report = side.base ? null : side.model.report;
    link.hidden = !report;
    link.textContent = "Report of the training of " + side.name;
    if (report) Object.assign(link, { href: report, target: "_blank", rel: "noopener noreferrer" });
  });
}

async function loadModels() {
  try {
    models = (await fetch("v1/models", { headers: headers() }).then(answered).then((found) => found.json())).models;
    if (!models.length) throw new Error("no model is served");
    options(at("model"), models.map((one) => [one.name, one.name]));
    say("");
    showPairs();
    later(0);
  } catch (error) {
    models = [];
    say(error.message, true);
  }
}

/* Server-sent events of an answer, each as [name, data]. */
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (kept + value).split("\n\n");
    kept = blocks.pop();
    for (const block of blocks) {
      const [name, data] = block.split("\n");
      yield [name.slice("event: ".length), JSON.parse(data.slice("data: ".length))];
    }
  }
}

async function translateSide(side, number, text, pair, signal) {
  const output = at("text-" + number), list = at("list-" + number), count = Number(at("count").value);
  const asked = { texts: [text], adapter: side.model.name, base: side.base, source: pair.source, target: pair.target };
  output.lang = pair.target.replaceAll("_", "-");
  output.ariaBusy = "true";
  try {
    if (count > 1) {
      const more = { ...asked, scores: true, alternatives: count - 1 };
      const [found] = (await (await post(more, signal)).json()).translations;
      output.textContent = found.text;
      showCandidates(list, [found, ...found.alternatives]);
      return found;
    }
    let whole = "", cut = false;
    for await (const [name, data] of events(await post({ ...asked, stream: true }, signal))) {
      if (name === "error") throw new Error(data.error);
      if (name !== "translation") continue;
      whole += data.text;
      cut ||= data.cut;
      output.textContent = whole;
    }
    output.textContent = whole;
    list.hidden = true;
    return { text: whole, cut };
  } finally {
    if (!signal.aborted) output.ariaBusy = "false";
  }
}

function showCandidates(list, candidates) {
  list.hidden = false;
  list.replaceChildren(...candidates.map((one) => {
    const item = document.createElement("li"), text = document.createElement("span"), score = document.createElement("span");
    text.textContent = one.text;
    text.lang = list.previousElementSibling.lang;
    text.dir = "auto";
    score.className = "score";
    score.textContent = one.score === null ? "" : " (score\u00a0" + one.score.toFixed(2).replace("-", "\u2212") + ")";
    item.append(text, score);
    return item;
  }));
}

function showDifferences(texts, language) {
  if (texts.length < 2) return "";
  if (texts[0] === texts[1]) return "Both translations are the same.";
  const found = differences(...texts, language);
  if (!found) return "The translations differ; they are too long to mark the words.";
  found.forEach(({ parts }, number) => {
    at("text-" + number).replaceChildren(...parts.map(([text, differs]) => {
      if (!differs) return document.createTextNode(text);
      const mark = document.createElement("mark");
      mark.textContent = text;
      return mark;
    }));
  });
  const [first, second] = found;
  return `Differences are marked: ${first.count} of ${first.words} words in the first translation, ` +
    `${second.count} of ${second.words} in the second.`;
}

async function translate() {
  if (asking) asking.abort();
  asking = null;
  const text = at("source").value;
  if (!text.trim() || !models.length) {
    for (const number of [0, 1]) {
      at("text-" + number).textContent = "";
      at("list-" + number).hidden = true;
    }
    if (models.length) say("");
    return;
  }
  const mine = asking = new AbortController(), pair = chosenPair();
  say("Translating \u2026");
  try {
    const asked = sides().map((side, number) => translateSide(side, number, text, pair, mine.signal));
    const found = await Promise.all(asked);
    if (mine !== asking) return;
    const notes = ["Translated.", showDifferences(found.map((one) => one.text), pair.target.replaceAll("_", "-"))];
    if (found.some((one) => one.cut)) notes.push("A translation reached its limit and is cut.");
    say(notes.filter(Boolean).join(" "));
  } catch (error) {
    if (mine === asking) say(error.message, true);
    mine.abort();
  }
}

function later(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(translate, milliseconds);
}

async function translateFile(event) {
  event.preventDefault();
  const file = at("file").files[0];
  if (!file || !models.length) {
    say(file ? "No model is served." : "Choose a file first.", true, "result");
    return;
  }
  const pair = chosenPair(), form = new FormData();
  form.append("file", file);
  for (const [name, value] of Object.entries({ ...pair, adapter: chosenModel().name, api_key: at("key").value })) {
    form.append(name, value);
  }
  at("send").disabled = true;
  say("Translating " + file.name + " \u2026", false, "result");
  try {
    const answer = await fetch("translate_file", { method: "POST", body: form }).then(answered);
    const name = new URL((await answer.json()).translatedFileUrl).pathname.split("/").pop();
    const data = await fetch("download_file/" + name).then(answered).then((found) => found.arrayBuffer());
    const link = document.createElement("a"), dot = file.name.lastIndexOf(".");
    link.href = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
    link.download = file.name.slice(0, dot) + "." + pair.target + file.name.slice(dot);
    link.textContent = "Download " + link.download;
    say("Done: ", false, "result");
    at("result").append(link);
  } catch (error) {
    say(error.message, true, "result");
  } finally {
    at("send").disabled = false;
  }
}

async function copy(number) {
  try {
    await navigator.clipboard.writeText(at("text-" + number).textContent);
    say("Copied.");
  } catch (error) {
    say("The browser does not allow to copy: " + error.message, true);
  }
}

at("source").addEventListener("input", () => later(400));
at("model").addEventListener("change", () => { showPairs(); later(0); });
at("pair").addEventListener("change", () => { showOthers(); later(0); });
at("other").addEventListener("change", () => { showSides(); later(0); });
at("count").addEventListener("change", () => later(0));
at("key").addEventListener("change", loadModels);
at("choices").addEventListener("submit", (event) => event.preventDefault());
at("upload").addEventListener("submit", translateFile);
for (const number of [0, 1]) at("copy-" + number).addEventListener("click", () => copy(number));
fetch("frontend/settings").then(answered).then((found) => found.json()).then((settings) => {
  at("locked").hidden = !settings.keyRequired;
  at("file").accept = settings.supportedFilesFormat.join(",");
  if (settings.keyRequired) say("Enter an API key."); else loadModels();
}).catch((error) => say(error.message, true));
