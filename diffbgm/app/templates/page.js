// The page of a folder of results: a player for each video, with its notes drawn in step. No dependencies.
"use strict";

// Pure functions, tested without a browser.
const music = {
  STEPS: 4, BEATS: 4, // sixteenths per beat, beats per bar

  clock: (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`,

  beatSeconds: (take) => 60 / take.tempo,

  /** The bar, counted from 1, at a time. */
  barAt: (take, seconds) => Math.min(take.bars, Math.floor(seconds / music.beatSeconds(take) / music.BEATS + 1e-6) + 1),

  /** The name of the span [[beat, name], ...] that a time lies in; "" before the first. */
  nameAt(spans, take, seconds) {
    const beat = seconds / music.beatSeconds(take) + 1e-6;
    let name = "";
    for (const [start, label] of spans) {
      if (start > beat) break;
      name = label;
    }
    return name;
  },

  /** Pixels per second: the whole piece in `width` pixels, or more if a bar would be narrower than 48 pixels. */
  scaleFor(take, width, zoom) {
    const readable = 48 / (music.BEATS * music.beatSeconds(take));
    return Math.max(width / take.duration, readable) * zoom;
  },

  /** The time at x pixels from the left edge of the visible part. */
  timeAt: (take, x, scroll, scale) => Math.min(take.duration, Math.max(0, (x + scroll) / scale)),

  /** Where to scroll so that a time is visible: unchanged if it is, otherwise so that it is near the left edge. */
  follow(time, scroll, width, scale) {
    const x = time * scale;
    return x < scroll || x > scroll + width - 24 ? Math.max(0, x - width / 10) : scroll;
  },

  /** The time that a key moves to; null for any other key. */
  move(take, time, key) {
    const beat = music.beatSeconds(take), bar = beat * music.BEATS;
    const moved = {
      ArrowLeft: time - beat, ArrowRight: time + beat, ArrowDown: time - beat, ArrowUp: time + beat,
      PageDown: time + bar, PageUp: time - bar, Home: 0, End: take.duration,
    }[key];
    return moved === undefined ? null : Math.min(take.duration, Math.max(0, moved));
  },

  /** Two bars in order and inside the piece. */
  range(take, first, last) {
    const inside = (bar) => Math.min(take.bars, Math.max(1, Math.round(bar) || 1));
    const [a, b] = [inside(first), inside(last)];
    return a <= b ? [a, b] : [b, a];
  },

  /** The file of a part of a take: the film ("mp4"), the music alone, the film's own sound, or a stem. */
  file: (take, part) => `${take.name}.${part}`,

  redo: (take, first, last) => take.redo.replace("{first}", first).replace("{last}", last),

  /** What a screen reader says of a time. */
  told(take, seconds) {
    const parts = [music.clock(seconds), `bar ${music.barAt(take, seconds)}`];
    const section = music.nameAt(take.sections, take, seconds), chord = music.nameAt(take.chords, take, seconds);
    if (section) parts.push(`section ${section}`);
    if (chord && chord !== "–") parts.push(`chord ${chord}`);
    return parts.join(", ");
  },

  /** Lowest and highest pitch to draw. */
  pitches(take) {
    let [low, high] = [128, 0];
    for (let i = 2; i < take.notes.length; i += 5) {
      low = Math.min(low, take.notes[i]);
      high = Math.max(high, take.notes[i]);
    }
    return low > high ? [48, 84] : [Math.min(low, 48) - 2, Math.max(high, 76) + 2];
  },
};

class Player {
  constructor(article, takes, address) {
    Object.assign(this, { article, takes, address, current: 0, other: takes.length > 1 ? 1 : 0, zoom: 1, part: "mp4" });
    this.find = (selector) => article.querySelector(selector);
    [this.video, this.roll, this.canvas] = ["video", ".roll", "canvas"].map(this.find);
    this.seconds = 0;
    this.listen();
    this.show(0);
  }

  get take() { return this.takes[this.current]; }

  listen() {
    const on = (selector, event, act) => this.find(selector)?.addEventListener(event, act);
    on(".play", "click", () => this.toggle());
    on(".ab", "click", () => this.choose(this.other));
    on(".in", "click", () => this.zoomBy(1.5));
    on(".out", "click", () => this.zoomBy(1 / 1.5));
    on(".part", "change", (event) => this.hear(event.target));
    for (const radio of this.article.querySelectorAll("input[type=radio]"))
      radio.addEventListener("change", () => this.choose(Number(radio.value)));
    for (const button of this.article.querySelectorAll(".seek"))
      button.addEventListener("click", () => this.seek(Number(button.dataset.time)));
    for (const field of [".first", ".last"]) on(field, "input", () => this.tellRedo());
    for (const button of this.article.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
    on(".commands", "toggle", () => this.draw());
    for (const event of ["play", "pause", "ended"]) this.video.addEventListener(event, () => this.onState());
    for (const event of ["timeupdate", "seeked", "seeking"]) this.video.addEventListener(event, () => this.tick());
    this.roll.addEventListener("scroll", () => this.draw(), { passive: true });
    this.roll.addEventListener("keydown", (event) => this.onKey(event));
    this.listenToPointer();
    new ResizeObserver(() => this.draw()).observe(this.roll);
    new IntersectionObserver((entries) => {
      this.visible = entries.some((entry) => entry.isIntersecting);
      this.draw();
    }, { rootMargin: "200px" }).observe(this.roll);
  }

  /** A mouse seeks while it is dragged; a finger seeks by a tap, because dragging scrolls. */
  listenToPointer() {
    let dragging = false;
    const go = (event) => {
      const x = event.clientX - this.canvas.getBoundingClientRect().left;
      this.seek(music.timeAt(this.take, x, this.roll.scrollLeft, this.scale));
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      dragging = true;
      this.canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    this.canvas.addEventListener("pointermove", (event) => dragging && go(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { dragging = false; });
    this.canvas.addEventListener("click", go);
    this.roll.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    }, { passive: false });
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moved = music.move(this.take, this.seconds, event.key);
    const acts = { " ": () => this.toggle(), "+": () => this.zoomBy(1.5), "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5), a: () => this.choose(this.other), A: () => this.choose(this.other) };
    if (moved !== null) this.seek(moved);
    else if (acts[event.key]) acts[event.key]();
    else return;
    event.preventDefault();
  }

  toggle() {
    if (this.video.paused) this.video.play().catch((error) => say(`It cannot be played: ${error.message}`));
    else this.video.pause();
  }

  /** Only one player plays at a time. The playhead is drawn on every frame, unless reduced motion is preferred. */
  onState() {
    const playing = !this.video.paused && !this.video.ended;
    this.find(".play").textContent = playing ? "Pause" : "Play";
    if (!playing) return this.tick();
    for (const player of players) if (player !== this) player.video.pause();
    const frame = () => {
      if (this.video.paused) return;
      this.tick();
      requestAnimationFrame(frame);
    };
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) frame();
  }

  seek(seconds) {
    this.seconds = seconds;
    this.video.currentTime = seconds;
    this.tick(seconds);
  }

  /** Show and play another take. */
  choose(index) {
    if (index === this.current) return;
    this.other = this.current;
    this.show(index);
    this.load();
    say(`Take ${index + 1} of ${this.takes.length}`);
  }

  /** Play another part of the same take. */
  hear(list) {
    this.part = list.value;
    this.load();
    say(`Plays ${list.selectedOptions[0].textContent}`);
  }

  /** Load the chosen part of the chosen take at the same position, and go on playing if it was. */
  load() {
    this.resume ??= { time: this.video.currentTime, playing: !this.video.paused };
    this.video.src = this.address(music.file(this.take, this.part));
    this.video.addEventListener("loadedmetadata", () => {
      const before = this.resume;
      if (!before) return; // another choice was made before this one had loaded
      this.resume = null;
      this.video.currentTime = before.time;
      if (before.playing) this.toggle();
    }, { once: true });
    this.video.load();
  }

  /** Show the text, links and notes of a take. */
  show(index) {
    this.current = index;
    const take = this.take;
    this.range = music.pitches(take);
    const radio = this.find(`input[type=radio][value="${index}"]`);
    if (radio) radio.checked = true;
    for (const link of this.article.querySelectorAll("[data-ending]")) {
      const name = `${take.name}.${link.dataset.ending}`;
      link.href = this.address(name);
      link.download = name;
    }
    const button = this.find(".ab");
    if (button) button.textContent = `A/B: take ${this.other + 1}`;
    this.find(".again").textContent = take.again;
    this.find(".about").textContent = take.about;
    this.roll.setAttribute("aria-valuemax", take.duration.toFixed(2));
    this.tellRedo();
    this.draw();
  }

  tellRedo() {
    this.kept = music.range(this.take, this.find(".first").valueAsNumber, this.find(".last").valueAsNumber);
    this.find(".redo").textContent = music.redo(this.take, ...this.kept);
    this.draw();
  }

  zoomBy(factor) {
    const middle = (this.roll.scrollLeft + this.roll.clientWidth / 2) / this.scale;
    this.zoom = Math.min(16, Math.max(1, this.zoom * factor));
    this.draw();
    this.roll.scrollLeft = middle * this.scale - this.roll.clientWidth / 2;
  }

  /** Update everything that shows the time. */
  tick(seconds) {
    this.seconds = seconds ?? this.video.currentTime;
    this.find(".where").textContent = `${music.clock(this.seconds)} / ${music.clock(this.take.duration)}`;
    this.roll.setAttribute("aria-valuenow", this.seconds.toFixed(2));
    this.roll.setAttribute("aria-valuetext", music.told(this.take, this.seconds));
    const scroll = music.follow(this.seconds, this.roll.scrollLeft, this.roll.clientWidth, this.scale);
    if (Math.abs(scroll - this.roll.scrollLeft) > 1) this.roll.scrollLeft = scroll;
    this.draw();
  }

  get scale() { return music.scaleFor(this.take, Math.max(this.roll.clientWidth, 100), this.zoom); }

  draw() {
    if (!this.visible) return;
    const pixels = devicePixelRatio || 1;
    const [width, height] = [this.roll.clientWidth, this.roll.clientHeight];
    this.find(".width").style.width = `${Math.max(width, Math.floor(this.take.duration * this.scale))}px`;
    this.canvas.style.width = `${width}px`;
    if (this.canvas.width !== Math.round(width * pixels) || this.canvas.height !== Math.round(height * pixels)) {
      this.canvas.width = Math.round(width * pixels);
      this.canvas.height = Math.round(height * pixels);
    }
    const brush = this.canvas.getContext("2d");
    brush.setTransform(pixels, 0, 0, pixels, 0, 0);
    brush.clearRect(0, 0, width, height);
    drawRoll(brush, this, width, height);
  }
}

const RULER = 20, CHORDS = 20, CURVE = 26; // heights in pixels

/** Everything on the canvas: ruler with sections and bars, chords, notes, cuts, curves, playhead. */
function drawRoll(brush, player, width, height) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const { take, scale } = player, scroll = player.roll.scrollLeft;
  const beat = music.beatSeconds(take), at = (seconds) => seconds * scale - scroll;
  const curves = Object.entries(take.curves), bottom = height - CURVE * curves.length;
  const view = { brush, player, take, colour, at, beat, scale, width, height, bottom };
  brush.font = "12px system-ui, sans-serif";
  brush.textBaseline = "middle";
  drawGrid(view);
  drawNotes(view);
  curves.forEach(([name, values], k) => drawCurve(view, name, values, bottom + CURVE * (k + 1)));
  drawNames(view);
  brush.setLineDash([5, 4]);
  for (const cut of take.cuts) line(brush, at(cut), RULER, height, colour("cut"), 1.5);
  brush.setLineDash([]);
  line(brush, at(player.seconds), 0, height, colour("head"), 2);
}

function line(brush, x, top, bottom, colour, thickness) {
  brush.strokeStyle = colour;
  brush.lineWidth = thickness;
  brush.beginPath();
  brush.moveTo(x, top);
  brush.lineTo(x, bottom);
  brush.stroke();
}

/** Beats, bars with their numbers, and the bars to keep. */
function drawGrid({ brush, player, take, colour, at, beat, scale, width, height }) {
  const bar = beat * music.BEATS;
  if (player.find(".commands").open) {
    brush.fillStyle = colour("kept");
    const left = at((player.kept[0] - 1) * bar);
    brush.fillRect(left, 0, at(player.kept[1] * bar) - left, height);
  }
  const every = Math.max(1, 2 ** Math.ceil(Math.log2(24 / (bar * scale))));
  for (let k = 0; k * beat < take.duration; k++) {
    const x = at(k * beat), first = k % music.BEATS === 0;
    if (x < -40 || x > width || (!first && beat * scale < 10)) continue;
    line(brush, x, first ? 0 : RULER + CHORDS, height, colour("grid"), first ? 1.5 : 0.75);
    const number = k / music.BEATS;
    if (!first || number % every) continue;
    brush.fillStyle = colour("muted");
    brush.fillText(String(number + 1), x + 3, RULER / 2);
  }
}

/** Lead notes are drawn thicker than the accompaniment, so that they differ by more than colour. */
function drawNotes({ brush, player, take, colour, at, beat, scale, width, bottom }) {
  const [low, high] = player.range, top = RULER + CHORDS, row = (bottom - top) / (high - low + 1);
  const step = beat / music.STEPS, paints = [colour("accompaniment"), colour("lead")];
  for (let i = 0; i < take.notes.length; i += 5) {
    const [onset, steps, pitch, velocity, lead] = take.notes.slice(i, i + 5);
    const x = at(onset * step), long = Math.max(2, steps * step * scale - 1);
    if (x > width || x + long < 0) continue;
    const high_ = Math.max(3, row * (lead ? 1.25 : 0.8));
    brush.globalAlpha = 0.6 + (0.4 * velocity) / 127;
    brush.fillStyle = paints[lead];
    brush.fillRect(x, top + (high - pitch + 0.5) * row - high_ / 2, long, high_);
  }
  brush.globalAlpha = 1;
}

/** Sections in the ruler, chords below it; a name that does not fit is left out. */
function drawNames({ brush, take, colour, at, beat, width }) {
  const names = (spans, y, weight, room) => spans.forEach(([start, name], k) => {
    const x = at(start * beat), end = k + 1 < spans.length ? at(spans[k + 1][0] * beat) : at(take.duration);
    brush.font = `${weight} 12px system-ui, sans-serif`;
    if (end < 0 || x > width || brush.measureText(name).width + 4 > end - x) return;
    brush.fillStyle = colour("ink");
    brush.fillText(name, Math.max(x + room, 3), y);
  });
  names(take.sections, RULER / 2, "bold", 24);
  names(take.chords, RULER + CHORDS / 2, "normal", 3);
}

/** A curve with one value per beat, 0 to 100, above the line `foot`, with its name. */
function drawCurve({ brush, colour, at, beat, width }, name, values, foot) {
  const y = (value) => foot - 1 - (value / 100) * (CURVE - 6);
  brush.beginPath();
  brush.moveTo(at(0), foot - 1);
  brush.lineTo(at(0), y(values[0]));
  values.forEach((value, k) => brush.lineTo(at((k + 0.5) * beat), y(value)));
  brush.lineTo(at(values.length * beat), y(values[values.length - 1]));
  brush.lineTo(at(values.length * beat), foot - 1);
  brush.globalAlpha = 0.25;
  brush.fillStyle = colour(name);
  brush.fill();
  brush.globalAlpha = 1;
  brush.strokeStyle = colour(name);
  brush.lineWidth = 1.5;
  brush.stroke();
  brush.font = "12px system-ui, sans-serif";
  const room = brush.measureText(name).width + 8;
  brush.fillStyle = colour("ground");
  brush.globalAlpha = 0.85;
  brush.fillRect(0, foot - CURVE + 2, room, 15);
  brush.globalAlpha = 1;
  brush.fillStyle = colour("ink");
  brush.fillText(name, 4, foot - CURVE + 10);
}

function say(text) { document.getElementById("status").textContent = text; }

async function copy(button) {
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    say("Copied");
  } catch { // the clipboard is not available: select the text, so that it can be copied by hand
    getSelection().selectAllChildren(code);
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

/** Addresses of files: inside a self-contained page, otherwise beside the page. */
function addresses() {
  const inside = new Map();
  for (const node of document.querySelectorAll("script.embedded")) {
    const bytes = Uint8Array.from(atob(node.textContent.trim()), (letter) => letter.charCodeAt(0));
    inside.set(node.dataset.name, URL.createObjectURL(new Blob([bytes], { type: node.dataset.kind })));
    node.remove();
  }
  return (name) => inside.get(name) ?? `${document.body.dataset.base}${name.split("/").map(encodeURIComponent).join("/")}`;
}

const players = [];

function start() {
  const data = JSON.parse(document.getElementById("data").textContent), address = addresses();
  document.querySelectorAll(".entry").forEach((article, k) => {
    const player = new Player(article, data[k], address);
    players.push(player);
    if (!player.video.getAttribute("src")) player.video.src = address(music.file(player.take, player.part));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => players.forEach((player) => player.draw()));
}

if (typeof document !== "undefined") start();
else globalThis.music = music;
