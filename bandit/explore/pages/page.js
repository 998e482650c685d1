"use strict";
const films = JSON.parse(document.getElementById("films").textContent);
const part = (id) => document.getElementById(id);
const preset = part("preset"), scrub = part("scrub"), play = part("play"), caption = part("caption");
const canvas = part("picture"), pen = canvas.getContext("2d");
const decoded = new Map();
const BETWEEN_FRAMES = 400;
let timer = null, asked = 0;

/* A picture in a data URL, decoded once. */
function decode(data) {
  if (!decoded.has(data)) {
    const image = new Image();
    image.src = "data:image/webp;base64," + data;
    decoded.set(data, image.decode().then(() => image));
  }
  return decoded.get(data);
}

/* Draw the chosen frame: the preset's picture, and over it what differs. */
async function show() {
  const turn = ++asked;
  const film = films[preset.selectedIndex], frame = film.frames[scrub.value];
  scrub.setAttribute("aria-valuetext", `${frame.at}, ${+scrub.value + 1} of ${film.frames.length}`);
  const base = await decode(film.picture), patch = frame.patch ? await decode(frame.patch) : null;
  if (turn !== asked) return;
  if (canvas.width !== film.width) canvas.width = film.width;
  if (canvas.height !== film.height) canvas.height = film.height;
  pen.drawImage(base, 0, 0);
  if (patch) pen.drawImage(patch, frame.x, frame.y);
  part("at").textContent = frame.at;
  caption.textContent = frame.caption;
  canvas.setAttribute("aria-label", `${film.name}${frame.at ? ", " + frame.at : ""}; in numbers below`);
  part("state").value = frame.state;
  part("again").textContent = frame.again;
  part("copied").textContent = "";
  canvas.dataset.shown = frame.state;
}

function choose() {
  const frames = films[preset.selectedIndex].frames;
  scrub.max = frames.length - 1;
  scrub.value = 0;
  part("axis").textContent = frames[0].at.replace(/ \S+$/, "");
  part("player").hidden = frames.length < 2;
  decoded.clear();
  stop();
  show();
}

function stop() {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
  caption.setAttribute("aria-live", "polite");
}

/* While it plays nobody could listen to every caption: the last one is spoken. */
function start() {
  if (scrub.value === scrub.max) scrub.value = 0;
  caption.setAttribute("aria-live", "off");
  play.textContent = "Pause";
  timer = setInterval(() => {
    scrub.value = +scrub.value + 1;
    if (scrub.value === scrub.max) stop();
    show();
  }, BETWEEN_FRAMES);
  show();
}

/* A prediction is open until it is committed, or passed over; after the last one explorer and answers take their place. */
const forms = [...document.querySelectorAll("form.prediction")];

function settle(form, chosen) {
  const reveal = part(form.dataset.reveal), right = reveal.dataset.option;
  form.dataset.settled = "true";
  for (const each of form.querySelectorAll("input, button")) each.disabled = true;
  if (chosen !== null) {
    const words = form.querySelector(`input[value="${chosen}"]`).parentElement.textContent.trim();
    reveal.querySelector(".verdict").textContent =
      chosen === right ? "You predicted it." : `You predicted otherwise: “${words}”`;
  }
  form.querySelector("[role=status]").textContent =
    chosen === null ? "Passed over." : "Committed.";
  const next = forms.find((each) => !each.dataset.settled);
  if (next) next.querySelector("input").focus();
  else open();
}

function open() {
  for (const each of document.querySelectorAll("#explorer, #reveals")) each.hidden = false;
  for (const form of forms) form.hidden = true;
  part("explorer").focus();
}

for (const form of forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = form.querySelector("input:checked");
    if (chosen) settle(form, chosen.value);
    else form.querySelector("[role=status]").textContent = "Choose one of the options first.";
  });
  form.querySelector(".pass").addEventListener("click", () => settle(form, null));
}
for (const each of document.querySelectorAll("#explorer, #reveals")) each.hidden = forms.length > 0;
canvas.hidden = false;

preset.addEventListener("change", choose);
scrub.addEventListener("input", () => { stop(); show(); });
play.addEventListener("click", () => (timer === null ? start() : stop()));
part("fit").addEventListener("click", (event) => {
  const fits = part("stage").classList.toggle("fit");
  event.target.setAttribute("aria-pressed", String(fits));
});
/* Selecting takes the focus along, so only where the reader's next key is the one that copies. */
part("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(part("state").value);
    part("copied").textContent = "Copied.";
  } catch {
    part("state").select();
    part("copied").textContent = "Selected: copy it with your keyboard or menu.";
  }
});

/* A link to kl.html#preset-R1 opens that preset; any other leaves everything as it is, whatever is in it. */
function follow() {
  const named = [...preset.options].find((each) => location.hash === "#" + encodeURI(each.id));
  if (named) preset.selectedIndex = named.index;
  return named !== undefined;
}
window.addEventListener("hashchange", () => { if (follow()) choose(); });
follow();
choose();
