// What Python cannot say of ipywidgets' parts: names, values in words, and that keys pressed here are meant for here.
// It runs when the style sheet that carries it comes onto the page; `this` is that sheet.
const root = this.closest(".modeseek");
if (root && !root.hasAttribute("aria-label")) {
  const said = (element) => (element ? element.textContent.trim() : "");
  const set = (element, attribute, value) => {
    if (element && value && element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
  };

  const speak = () => {
    for (const row of root.querySelectorAll(".modeseek-number, .modeseek-distribution, .widget-dropdown")) {
      const label = row.querySelector(".widget-label");
      const box = row.querySelector("input, select");
      set(box, "aria-description", label.querySelector("[title]")?.title);
      row.querySelectorAll(".noUi-handle").forEach((handle, number) => {
        const bar = handle.closest(".modeseek-bars") !== null;
        const own = bar ? `, ${said(handle.closest(".widget-slider").querySelector(".widget-label"))}` : "";
        set(handle, "aria-label", said(label) + own);
        set(handle, "aria-valuetext", bar ? (box.value.split(",")[number] || "").trim() : box.value);
      });
    }
    const [play, stop] = root.querySelectorAll(".widget-play button");
    for (const [button, name] of [[play, "Play or pause"], [stop, "Stop, back to the start"]]) {
      set(button, "aria-label", name);
      set(button, "title", name);
    }
    set(root.querySelector(".modeseek-picture"), "alt", `${said(root.querySelector("h3"))}: the text below says what is drawn`);
  };

  // A button that goes out of use would drop the keyboard onto the page: it passes it on.
  let last = null;
  root.addEventListener("focusin", (event) => { last = event.target; });
  const passOn = () => {
    const at = document.activeElement;
    if (!last || !last.disabled || (at && at !== last && !at.contains(root))) return;
    const all = [...root.querySelectorAll("button, input, select, summary, .noUi-handle")];
    const beside = all.filter((each) => each.parentElement === last.parentElement);
    const next = [...beside, ...all.slice(all.indexOf(last))].find((each) => !each.disabled && each.offsetParent);
    if (next) next.focus();
  };

  // The notebook's own keys: Enter edits a cell, arrows go to another one, two d delete it.
  root.addEventListener("keydown", (event) => {
    const ours = !(event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter"));
    if (ours && event.key !== "Escape") event.stopPropagation();
  });

  set(root, "role", "group");
  set(root, "aria-label", said(root.querySelector("h3")));
  new MutationObserver(() => { speak(); passOn(); }).observe(root, {
    subtree: true, childList: true, attributeFilter: ["aria-valuetext", "disabled"],
  });
  speak();
}
