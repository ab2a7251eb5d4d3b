"use strict";
// Draws where a captioner looked for each word. Shared by the gallery, which holds it inline, and
// by the page of `keras-sat try`, which loads it as a file.
//
// An attention is {grid, words, notes}, as keras_sat.visualize.page_attention makes it.

function paintGrid(context, [height, width], weights) {
  const bytes = Uint8Array.from(atob(weights), c => c.charCodeAt(0));
  const shade = new ImageData(width, height);
  bytes.forEach((light, i) => { shade.data[4 * i + 3] = 0.82 * (255 - light); });
  const small = Object.assign(document.createElement("canvas"), {width, height});
  small.getContext("2d").putImageData(shade, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, context.canvas.width, context.canvas.height);
}

function paintBoxes(context, boxes) {
  const {width, height} = context.canvas;
  context.fillStyle = "rgba(0, 0, 0, 0.35)";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "#ff2fa0";
  for (const [top, left, bottom, right, weight] of boxes) {
    context.lineWidth = Math.max(weight * width / 40, 0.01);  // a canvas takes no 0
    context.strokeRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  }
}

function paintWord(context, {grid, words}, place) {
  if (grid) {
    paintGrid(context, grid, words[place]);
  } else {
    paintBoxes(context, words[place]);
  }
}

// Shows a word's attention while it is pointed at or focused, and holds it when it is clicked.
// `onHold` is called with the word's place, or -1 when it is let go.
function connectWords({buttons, picture, canvas, note, attention, onHold = () => {}}) {
  let kept = -1;

  function show(place) {
    canvas.width = picture.clientWidth * devicePixelRatio;
    canvas.height = picture.clientHeight * devicePixelRatio;  // which clears it
    buttons.forEach((button, i) => button.classList.toggle("shown", i === place));
    note.textContent = place >= 0 ? attention.notes[place] : "";
    if (place >= 0) {
      paintWord(canvas.getContext("2d"), attention, place);
    }
  }
  function keep(place) {
    kept = place;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === kept));
    show(kept);
    onHold(kept);
  }
  function release() {  // another caption's word is held over the same picture
    kept = -1;
    buttons.forEach(button => {
      button.setAttribute("aria-pressed", false);
      button.classList.remove("shown");
    });
  }
  function reach(place) {
    buttons.forEach((button, i) => { button.tabIndex = i === place ? 0 : -1; });
    buttons[place].focus();
  }

  buttons.forEach((button, place) => {
    button.addEventListener("mouseenter", () => show(place));
    button.addEventListener("mouseleave", () => show(kept));
    button.addEventListener("focus", () => show(place));
    button.addEventListener("blur", () => show(kept));
    button.addEventListener("click", () => keep(kept === place ? -1 : place));
    button.addEventListener("keydown", event => {
      const last = buttons.length - 1;
      const target = {ArrowLeft: Math.max(place - 1, 0), ArrowRight: Math.min(place + 1, last), Home: 0, End: last}[event.key];
      if (target !== undefined) { event.preventDefault(); reach(target); }
      if (event.key === "Escape") { keep(-1); }
    });
  });
  return {show, release};
}
