"use strict";
// Sorts and filters the table of layers.
(() => {
  const table = document.querySelector("table.layers");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const key = (row, column, kind) => {
    const cell = row.cells[column];
    if (kind === "text") return cell.textContent;
    const text = cell.dataset.value ?? (column === 0 ? cell.textContent : "");
    return text === "" ? NaN : Number(text);
  };
  for (const head of table.tHead.rows[0].cells) {
    const kind = head.dataset.sort;
    if (!kind) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      const keys = new Map(rows.map((row) => [row, key(row, head.cellIndex, kind)]));
      const compare = (a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (kind === "text") return sign * x.localeCompare(y);
        // Rows without a number are last.
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      };
      body.append(...rows.slice().sort(compare));
    });
  }
  const filter = document.querySelector(".filter");
  filter.hidden = false;
  const [input, note] = filter.children;
  const all = note.textContent;
  const texts = rows.map((row) => [...row.cells].slice(1, 4).map((cell) => cell.textContent).join(" ").toLowerCase());
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, idx) => {
      row.hidden = !words.every((word) => texts[idx].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    note.textContent = words.length ? `${shown} of ${all}` : all;
  });
})();
// Zooms and moves the graph.
(() => {
  const frame = document.querySelector(".drawing");
  if (!frame) return;
  const svg = frame.querySelector("svg");
  const [width, height] = [svg.width.baseVal.value, svg.height.baseVal.value];
  const tools = document.querySelector(".zoom");
  tools.hidden = false;
  frame.classList.add("moves");
  let scale = 1;
  const zoom = (wanted, x = frame.clientWidth / 2, y = frame.clientHeight / 2) => {
    const next = Math.min(4, Math.max(0.05, wanted));
    const [left, top] = [(frame.scrollLeft + x) / scale, (frame.scrollTop + y) / scale];
    scale = next;
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    frame.scrollTo(left * scale - x, top * scale - y);
  };
  const fit = () => zoom(Math.min(1, frame.clientWidth / width));
  tools.addEventListener("click", (event) => {
    const factor = event.target.dataset.zoom;
    if (factor === "fit") fit();
    else if (factor) zoom(scale * Number(factor));
  });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    let [x, y] = [event.clientX, event.clientY];
    const move = (moved) => {
      frame.scrollBy(x - moved.clientX, y - moved.clientY);
      [x, y] = [moved.clientX, moved.clientY];
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", () => removeEventListener("pointermove", move), { once: true });
  });
  // A drawing that nearly fits is fitted; a large one begins at its natural size.
  if (width > frame.clientWidth && width * 0.55 < frame.clientWidth) fit();
})();
