"use strict";
// The page of `keras-sat try`: takes a picture, asks for captions and scores, and shows them.

const WORD_MS = 350;  // between two words of a caption
const PANEL = 320;  // pixels of a panel of the saved picture
const PANELS_PER_ROW = 4;

const $ = id => document.getElementById(id);
let about = null;  // what /api/captioners says
let cards = [];
let current = 0;  // the newest picture's number: answers to earlier ones are dropped

// ---- asking

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The page's own server does not answer. Is keras-sat try still running?");
  }
  if (response.ok) {
    return response;
  }
  let words = `The page's server answered ${response.status}.`;
  if (response.status === 503) {
    words = "The page is asked too much at once. Try again in a moment.";
  }
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error ?? words);
}

function tell(element, words) {
  element.textContent = words;
  element.hidden = !words;
}

// Tells a screen reader, and shows it unless it is on the page anyway.
function announce(words, isShown = false) {
  $("status").textContent = words;
  $("status").classList.toggle("unseen", isShown);
}

// ---- words with their attention

function wordButtons(words, notes = []) {
  return words.map((word, place) => {
    const button = Object.assign(document.createElement("button"), {type: "button"});
    button.append(word);
    if (notes[place] !== undefined) {
      button.append(Object.assign(document.createElement("small"), {textContent: notes[place]}));
    }
    button.tabIndex = place ? -1 : 0;  // arrow keys reach the others
    button.setAttribute("aria-pressed", false);
    return button;
  });
}

function spaced(buttons) {
  return buttons.flatMap((button, place) => place ? [" ", button] : [button]);
}

class Card {
  constructor(number, {name, settings}) {
    this.number = number;
    this.element = $("card").content.cloneNode(true).firstElementChild;
    this.element.querySelector(".name").textContent = name;
    this.picture = this.element.querySelector("img");
    this.canvas = this.element.querySelector("canvas");
    this.note = this.element.querySelector("output");
    this.problem = this.element.querySelector(".problem");
    this.told = this.element.querySelector(".told");
    this.form = this.element.querySelector("form");
    this.field = this.form.querySelector("input");
    this.saving = this.element.querySelector(".save");
    this.shown = {};  // {kind: what connectWords returned}
    this.label(number);
    this.showSettings(settings);
    this.form.addEventListener("submit", event => { event.preventDefault(); this.score(); });
    this.saving.addEventListener("click", () => this.save());
  }

  label(number) {
    this.field.id = `own-${number}`;
    this.field.maxLength = about.longest_caption;
    this.form.querySelector("label").htmlFor = this.field.id;
  }

  showSettings(settings) {
    const list = this.element.querySelector("dl");
    const known = Object.entries(settings);
    for (const [name, value] of known) {
      const term = Object.assign(document.createElement("dt"), {textContent: name});
      const pair = document.createElement("div");
      pair.append(term, Object.assign(document.createElement("dd"), {textContent: value}));
      list.append(pair);
    }
    if (!known.length) {
      list.replaceWith("They were fixed when the model was exported; its model card has them.");
    }
  }

  connect(kind, buttons, attention) {
    const {picture, canvas, note} = this;
    const onHold = place => {
      this.held = place >= 0 ? {kind, place} : null;
      for (const [other, words] of Object.entries(this.shown)) {
        if (place >= 0 && other !== kind) {
          words.release();
        }
      }
    };
    this.shown[kind] = connectWords({buttons, picture, canvas, note, attention, onHold});
  }

  async caption(content, url, number) {
    this.content = content;
    this.picture.src = url;
    this.picture.onload = () => this.fit();
    this.told.hidden = true;
    this.saving.hidden = true;
    this.canvas.width = 0;
    this.note.textContent = "";
    this.shown = {};
    this.held = null;
    this.answer = null;
    tell(this.problem, "");
    this.clearScore();
    try {
      const response = await ask(`/api/caption?captioner=${this.number}`, {method: "POST", body: content});
      const answer = await response.json();
      if (number === current) {
        this.show(answer, number);
      }
      return answer.captions[0];
    } catch (error) {
      if (number === current) {
        tell(this.problem, error.message);
      }
      return null;
    }
  }

  // As wide as the card, but never higher than the window.
  fit() {
    const {naturalWidth, naturalHeight} = this.picture;
    this.picture.parentElement.style.maxWidth = `calc(75vh * ${naturalWidth / naturalHeight})`;
  }

  show(answer, number) {
    this.answer = answer;
    this.picture.alt = answer.captions[0];
    const buttons = wordButtons(answer.words);
    this.element.querySelector(".caption").replaceChildren(...spaced(buttons));
    const rows = answer.captions.map((text, place) => {
      const row = document.createElement("li");
      const line = document.createElement("span");
      const score = Object.assign(document.createElement("data"), {textContent: answer.scores[place].toFixed(2)});
      line.append(text, score);
      row.append(line);
      return row;
    });
    this.element.querySelector(".captions").replaceChildren(...rows);
    this.told.hidden = false;
    this.saving.hidden = false;
    this.connect("caption", buttons, answer.attention);
    this.speak(buttons, number);
  }

  // Shows the words one after the other, each with its attention, until somebody takes over.
  async speak(buttons, number) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      return;
    }
    const words = this.shown.caption;
    let taken = false;
    const take = () => { taken = true; };
    this.told.addEventListener("pointerdown", take, {once: true});
    this.told.addEventListener("mouseover", take, {once: true});
    this.told.addEventListener("focusin", take, {once: true});
    buttons.forEach(button => button.classList.add("unsaid"));
    for (const [place, button] of buttons.entries()) {
      if (taken || number !== current) {
        break;
      }
      button.classList.remove("unsaid");
      words.show(place);
      await new Promise(resolve => setTimeout(resolve, WORD_MS));
    }
    buttons.forEach(button => button.classList.remove("unsaid"));
    if (!taken && number === current) {
      words.show(-1);
    }
  }

  clearScore() {
    this.scored = null;
    if (this.held?.kind === "own") {
      this.held = null;
      this.canvas.width = 0;  // which clears it
      this.note.textContent = "";
    }
    delete this.shown.own;
    tell(this.form.querySelector(".problem"), "");
    this.form.querySelector(".scored").replaceChildren();
    this.form.querySelector(".total").textContent = "";
  }

  async score() {
    const number = current;
    this.clearScore();
    const total = this.form.querySelector(".total");
    total.textContent = "Scoring …";
    const query = new URLSearchParams({captioner: this.number, caption: this.field.value});
    try {
      const response = await ask(`/api/score?${query}`, {method: "POST", body: this.content});
      const scored = await response.json();
      if (number === current) {
        this.showScore(scored);
      }
    } catch (error) {
      total.textContent = "";
      tell(this.form.querySelector(".problem"), error.message);
    }
  }

  showScore(scored) {
    this.scored = scored;
    const notes = scored.word_log_probs.map(value => value.toFixed(2));
    const buttons = wordButtons(scored.words, notes);
    this.form.querySelector(".scored").replaceChildren(...buttons);
    const sum = scored.word_log_probs.reduce((a, b) => a + b, 0);
    this.form.querySelector(".total").textContent =
      `Log probability ${sum.toFixed(2)} in all, ` +
      `${(sum / scored.words.length).toFixed(2)} per word; 0 is certain.`;
    this.connect("own", buttons, scored.attention);
  }

  // Draws the picture and one panel per word under the caption, as a PNG file.
  save() {
    const isOwn = this.held?.kind === "own";
    const {words, attention} = isOwn ? this.scored : this.answer;
    const ratio = this.picture.naturalHeight / this.picture.naturalWidth;
    const height = Math.round(PANEL * Math.min(Math.max(ratio, 0.4), 2.5));
    const columns = Math.min(PANELS_PER_ROW, words.length + 1);
    const rows = Math.ceil((words.length + 1) / columns);
    const label = 36;
    const drawing = document.createElement("canvas");
    drawing.width = columns * PANEL;
    drawing.height = rows * (height + label);
    const context = drawing.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, drawing.width, drawing.height);
    context.font = "600 20px system-ui, sans-serif";
    context.textAlign = "center";
    const panel = document.createElement("canvas");
    for (let index = 0; index <= words.length; index += 1) {
      panel.width = PANEL - 8;
      panel.height = height;
      const inside = panel.getContext("2d");
      inside.drawImage(this.picture, 0, 0, panel.width, panel.height);
      if (index) {
        paintWord(inside, attention, index - 1);
      }
      const x = index % columns * PANEL;
      const y = Math.floor(index / columns) * (height + label);
      context.fillStyle = "#1c1d21";
      context.fillText(index ? words[index - 1] : "picture", x + PANEL / 2, y + 25, PANEL - 8);
      context.drawImage(panel, x + 4, y + label);
    }
    drawing.toBlob(blob => {
      const url = URL.createObjectURL(blob);
      Object.assign(document.createElement("a"), {href: url, download: "caption.png"}).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    }, "image/png");
  }
}

// ---- pictures

function canShow(url) {
  return new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve(true);
    image.onerror = () => resolve(false);
    image.src = url;
  });
}

// The URL of a picture: its own where the browser can show it, or one that the server converts.
async function pictureUrl(content) {
  const url = URL.createObjectURL(content);
  if (await canShow(url)) {
    return url;
  }
  URL.revokeObjectURL(url);
  const response = await ask("/api/picture", {method: "POST", body: content});
  const converted = URL.createObjectURL(await response.blob());
  if (await canShow(converted)) {
    return converted;
  }
  throw new Error("This file is damaged or cut off: it cannot be shown or captioned.");
}

let shownUrl = null;

async function take(content) {
  current += 1;
  const number = current;
  tell($("error"), "");
  try {
    if (content.size > about.megabytes * 2 ** 20) {
      throw new Error(`The file has more than ${about.megabytes} MB. Make it smaller.`);
    }
    announce("Reading the picture …");
    const url = await pictureUrl(content);
    if (number !== current) {
      URL.revokeObjectURL(url);
      return;
    }
    if (shownUrl) {
      URL.revokeObjectURL(shownUrl);
    }
    shownUrl = url;
    announce("Captioning …");
    $("answers").replaceChildren(...cards.map(card => card.element));
    const captions = await Promise.all(cards.map(card => card.caption(content, url, number)));
    if (number === current) {
      const found = captions.filter(caption => caption !== null);
      announce(found.length ? `Caption: ${found.join("; ")}` : "", true);
    }
  } catch (error) {
    if (number === current) {
      announce("");
      $("answers").replaceChildren();
      tell($("error"), error.message);
    }
  }
}

function takeFirst(files) {
  const file = [...files].at(0);
  if (file) {
    take(file);
  }
}

function listen() {
  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", event => {
      takeFirst(event.target.files);
      event.target.value = "";  // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", event => takeFirst(event.clipboardData.files));
  document.addEventListener("dragover", event => { event.preventDefault(); $("drop").classList.add("over"); });
  document.addEventListener("dragleave", event => { if (!event.relatedTarget) { $("drop").classList.remove("over"); } });
  document.addEventListener("drop", event => {
    event.preventDefault();
    $("drop").classList.remove("over");
    takeFirst(event.dataTransfer.files);
  });
}

function showExamples() {
  for (let number = 0; number < about.examples; number += 1) {
    const path = `/api/examples/${number}.png`;
    const button = Object.assign(document.createElement("button"), {type: "button"});
    button.append(Object.assign(document.createElement("img"), {src: path, alt: `Example ${number + 1}`}));
    button.addEventListener("click", async () => {
      try {
        take(await (await ask(path)).blob());
      } catch (error) {
        tell($("error"), error.message);
      }
    });
    $("examples").append(button);
  }
}

async function start() {
  try {
    about = await (await ask("/api/captioners")).json();
  } catch (error) {
    tell($("error"), error.message);
    return;
  }
  cards = about.captioners.map((each, number) => new Card(number, each));
  showExamples();
  listen();
}

start();
