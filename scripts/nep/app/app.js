// The page: choose a video, move the cut, see what the model sees, ask, read as it is written, reveal.
"use strict";
(() => {
  const { token, most } = document.body.dataset;
  const by = (id) => document.getElementById(id);
  const video = by("video");
  const cut = by("cut");
  const options = [...document.getElementsByName("option")];
  const letters = options.map((input) => input.closest("label").dataset.letter);
  const SETTLED_MS = 250;
  const POLL_MS = 400;
  let examples = [];
  let chosen = null; // facts of the video that is shown
  let example = null; // the benchmark's question that it was chosen by
  let isRevealed = false;
  let asking = null; // AbortController while models answer
  let looking = null; // the same while frames are fetched
  let settling = 0;

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const seconds = (value) => `${value.toFixed(2)} s`;

  async function get(path, signal) {
    const answer = await fetch(path, { signal });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    return said;
  }

  function fail(problem) {
    if (problem.name === "AbortError") return;
    by("error").textContent = problem.message;
    by("error").scrollIntoView({ block: "nearest" });
  }

  // ---- the videos

  function card(one, place) {
    const picture = make("span", { className: "blank" });
    const button = make(
      "button",
      { type: "button", className: "card" },
      picture,
      make("div", {}, make("small", { textContent: one.kind }), make("span", { textContent: one.question })),
    );
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => chooseExample(place));
    get(`video/${one.video}/poster?at=${one.cut}`)
      .then(({ frames }) => picture.replaceWith(make("img", { src: frames[0].uri, alt: "" })))
      .catch(fail);
    return make("li", {}, button);
  }

  async function chooseExample(place) {
    example = examples[place];
    by("question").value = example.question;
    options.forEach((input, index) => { input.value = example.options[letters[index]] || ""; });
    const cards = [...document.querySelectorAll(".card")];
    cards.forEach((one, index) => one.setAttribute("aria-pressed", String(index === place)));
    cards[place].scrollIntoView({ block: "nearest", inline: "nearest" });
    await get(`video/${example.video}/facts`).then((facts) => show(facts, example.cut)).catch(fail);
  }

  function upload(file) {
    const request = new XMLHttpRequest();
    const status = by("upload");
    if (file.size > Number(most)) {
      fail(new Error(`${file.name}: ${Math.ceil(file.size / 1e6)} MB, at most ${most / 1e6} MB are taken`));
      return;
    }
    request.open("POST", `upload?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-Page-Token", token);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      status.textContent = `${file.name}: ${Math.floor((100 * event.loaded) / event.total)} % sent`;
    });
    request.addEventListener("load", () => {
      status.textContent = request.status === 200 ? request.response.name : "";
      if (request.status === 200) chooseOwn(request.response);
      else fail(new Error(request.response ? request.response.error : "the upload was refused"));
    });
    request.addEventListener("error", () => fail(new Error(`${file.name}: not taken: the server does not answer`)));
    by("error").textContent = "";
    status.textContent = `${file.name} …`;
    request.send(file);
  }

  function chooseOwn(facts) {
    if (example) [by("question"), ...options].forEach((input) => { input.value = ""; });
    example = null;
    for (const one of document.querySelectorAll(".card")) one.setAttribute("aria-pressed", "false");
    // Most of it is seen, and enough is left to be told.
    show(facts, 0.6 * facts.duration);
  }

  function show(facts, at) {
    stop();
    chosen = facts;
    by("error").textContent = "";
    by("answers").replaceChildren();
    for (const element of document.querySelectorAll(".desk, nav")) element.hidden = false;
    by("unplayable").hidden = by("still").hidden = true;
    video.hidden = by("play").disabled = false;
    video.src = `video/${facts.key}/file`;
    by("length").textContent = `${facts.name ? `${facts.name} · ` : ""}${seconds(facts.duration)}`;
    cut.max = facts.duration;
    hide();
    moveTo(at);
    by("strip").replaceChildren();
    get(`video/${facts.key}/strip`)
      .then(({ frames }) => { if (facts === chosen) by("strip").replaceChildren(...frames.map((frame) => make("img", { src: frame.uri, alt: "" }))); })
      .catch(fail);
  }

  // ---- the cut

  function moveTo(at) {
    const frame = 1 / chosen.fps;
    cut.value = Math.min(Math.max(at, 2 * frame), chosen.duration - frame / 2).toFixed(6);
    moved();
  }

  function moved() {
    const at = Number(cut.value);
    const share = `${(100 * at) / chosen.duration}%`;
    by("knife").style.left = share;
    by("veil").style.left = share;
    by("at").textContent = `Cut at ${seconds(at)}`;
    cut.setAttribute("aria-valuetext", `${at.toFixed(2)} of ${chosen.duration.toFixed(2)} seconds`);
    by("back").hidden = !example || at === example.cut;
    if (isRevealed) hide();
    video.pause();
    video.currentTime = lastShown();
    if (!by("still").hidden) showStill();
    by("seen").classList.add("waits");
    clearTimeout(settling);
    settling = setTimeout(look, SETTLED_MS);
  }

  const lastShown = () => Math.max(0, Number(cut.value) - 0.75 / chosen.fps);

  async function look() {
    looking?.abort();
    looking = new AbortController();
    const seen = by("seen");
    try {
      const { frames, width, height } = await get(`video/${chosen.key}/seen?at=${cut.value}`, looking.signal);
      const figures = frames.map((frame) => make("figure", {}, make("img", { src: frame.uri, alt: `Frame at ${seconds(frame.seconds)}` }), make("figcaption", { textContent: seconds(frame.seconds) })));
      seen.replaceChildren(...figures);
      by("facts").textContent = ` · ${frames.length} frames, ${width} × ${height} px`;
      seen.classList.remove("waits");
    } catch (problem) {
      if (problem.name === "AbortError") return;
      seen.replaceChildren();
      seen.classList.remove("waits");
      by("facts").textContent = "";
      fail(problem);
    }
  }

  // ---- the video

  function play() {
    if (!video.paused) {
      video.pause();
      return;
    }
    const end = isRevealed ? chosen.duration : lastShown();
    if (video.currentTime >= end - 0.05) video.currentTime = isRevealed ? Number(cut.value) : 0;
    video.play().catch(() => {});
    requestAnimationFrame(watch);
  }

  // Until it is revealed, the video ends before the cut.
  function watch() {
    if (video.paused) return;
    if (!isRevealed && video.currentTime >= lastShown()) {
      video.pause();
      video.currentTime = lastShown();
    } else requestAnimationFrame(watch);
  }

  function showStill() {
    get(`video/${chosen.key}/poster?at=${lastShown().toFixed(3)}`)
      .then(({ frames }) => { by("still").src = frames[0].uri; })
      .catch(fail);
  }

  function hide() {
    isRevealed = false;
    by("happened").hidden = true;
    by("veil").className = example ? "closed" : "";
    by("reveal").disabled = false;
    mark();
  }

  function reveal() {
    if (!chosen || isRevealed) return;
    isRevealed = true;
    by("veil").className = "open";
    by("reveal").disabled = true;
    by("told").textContent = example ? example.happened || example.options[example.answer] : "";
    by("happened").hidden = !example;
    mark();
    video.parentElement.scrollIntoView({ block: "nearest" });
    video.pause();
    video.currentTime = Number(cut.value);
    play();
  }

  // The right option, and which answers are right, once that is no secret: of the benchmark's own question alone.
  function mark() {
    const right = isRevealed && isAsAsked() ? example.answer : null;
    options.forEach((input, index) => {
      const label = input.closest("label");
      label.classList.toggle("right", letters[index] === right);
      label.querySelector("em").textContent = letters[index] === right ? "right" : "";
    });
    for (const element of document.querySelectorAll(".verdict")) {
      const isRight = element.dataset.letter === right;
      element.textContent = right === null || !element.dataset.letter ? "" : isRight ? "✓ right" : `✗ wrong: ${right} is right`;
      element.className = `verdict ${isRight ? "right" : "wrong"}`;
    }
  }

  function isAsAsked() {
    return example !== null && Number(cut.value) === example.cut && by("question").value === example.question
      && options.every((input, index) => input.value === (example.options[letters[index]] || ""));
  }

  // ---- the models

  async function showModels() {
    const models = await get("models");
    if (!by("loading")) {
      for (const model of models) by(`ready-${model.path}`).textContent = state(model);
    } else {
      by("models").replaceChildren(...models.map((model) => make(
        "label",
        {},
        make("input", { type: "checkbox", name: "model", value: model.path, checked: true }),
        make("span", { className: `model ${model.stage}`, textContent: model.title }),
        make("small", { id: `ready-${model.path}`, textContent: state(model) }),
      )));
    }
    if (!models.every((model) => model.ready)) setTimeout(() => showModels().catch(fail), POLL_MS);
    const failed = models.find((model) => model.error);
    if (failed) fail(new Error(`${failed.title}: ${failed.error}`));
  }

  const state = (model) => (model.error ? "cannot be read" : model.ready ? "" : "being read…");

  function asked() {
    const texts = options.map((input) => input.value.trim());
    const last = texts.findLastIndex((text) => text);
    return {
      video: chosen.key,
      at: Number(cut.value),
      question: by("question").value,
      options: texts.slice(0, last + 1),
      variant: by("variant").value,
      temperature: Number(by("temperature").value),
      samples: Number(by("samples").value),
      models: [...document.querySelectorAll("[name=model]:checked")].map((box) => box.value),
    };
  }

  // One column a model, one block a sample.
  function column(box, samples) {
    const title = box.parentElement.querySelector(".model").cloneNode(true);
    const blocks = Array.from({ length: samples }, () => make(
      "div",
      { className: "sample" },
      make("header", {}, make("span", { className: "is", textContent: "waits for its turn" })),
      make("p", { className: "thought" }),
      make("p", { className: "said" }),
      make("p", { className: "verdict" }),
    ));
    blocks[0].querySelector("header").prepend(title);
    const article = make("article", { className: `answer ${title.classList[1]}` }, ...blocks);
    article.dataset.model = box.value;
    article.setAttribute("aria-label", title.textContent);
    return article;
  }

  function write(event, texts, columns) {
    const block = columns.get(event.model).children[event.sample];
    const is = block.querySelector(".is");
    if (event.state) is.textContent = event.state;
    if (event.prediction === undefined) return;
    block.classList.add("writes");
    is.textContent = "writes";
    block.querySelector(".thought").textContent = event.reasoning || "";
    const text = event.letter && texts["ABCD".indexOf(event.letter)];
    block.querySelector(".said").textContent = text ? `${event.letter}  ${text}` : event.prediction;
    if (event.seconds === undefined) return;
    block.classList.remove("writes");
    is.textContent = `${event.tokens} tokens, ${event.seconds.toFixed(1)} s`;
    block.querySelector(".verdict").dataset.letter = event.letter || "";
    mark();
  }

  async function predict() {
    if (!chosen || asking) return;
    const question = asked();
    by("error").textContent = "";
    if (!question.models.length) {
      fail(new Error("choose a model"));
      return;
    }
    const boxes = [...document.querySelectorAll("[name=model]:checked")];
    const columns = new Map(boxes.map((box) => [box.value, column(box, question.samples)]));
    by("answers").replaceChildren(...columns.values());
    columns.values().next().value.scrollIntoView({ block: "nearest" });
    const mine = new AbortController();
    asking = mine;
    showAsking();
    try {
      const answer = await fetch("predict", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Page-Token": token },
        body: JSON.stringify(question),
        signal: mine.signal,
      });
      if (!answer.ok) throw new Error((await answer.json()).error);
      for await (const event of lines(answer.body)) {
        if (event.error) throw new Error(event.error);
        write(event, question.options, columns);
      }
      if ([...columns.values()].some((one) => one.querySelector(".sample:not(:has([data-letter]))"))) throw new Error("the server ended before the answer did; its terminal says why");
    } catch (problem) {
      fail(problem);
    }
    for (const block of document.querySelectorAll(".writes")) block.classList.remove("writes");
    if (asking === mine) asking = null;
    showAsking();
  }

  async function* lines(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const whole = (rest + part.value).split("\n");
      rest = whole.pop();
      for (const line of whole) yield JSON.parse(line);
    }
  }

  function stop() {
    asking?.abort();
    asking = null;
    showAsking();
  }

  function showAsking() {
    by("predict").hidden = asking !== null;
    by("stop").hidden = asking === null;
    by("answers").setAttribute("aria-busy", String(asking !== null));
  }

  // ---- keys, buttons, dropped files

  function step(frames) {
    if (chosen) moveTo(Number(cut.value) + frames / chosen.fps);
  }

  const next = () => chooseExample((examples.indexOf(example) + 1) % examples.length);

  const actions = {
    " ": play,
    r: reveal,
    n: () => examples.length && next(),
    o: () => by("file").click(),
    Escape: stop,
    Enter: predict,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    PageDown: () => step(-chosen.fps),
    PageUp: () => step(chosen.fps),
    Home: () => step(-Infinity),
    End: () => step(Infinity),
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      predict();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const writes = target.closest("textarea, select, input:not([type=range], [type=checkbox])");
    if (event.key === "Escape" && writes) target.blur();
    if (writes && event.key !== "Escape") return;
    // What is focused has these keys for itself.
    if (["Enter", " "].includes(event.key) && target !== cut && target.closest("button, summary, input, label")) return;
    // These scroll the page, but where the cut is focused.
    if (["PageUp", "PageDown", "Home", "End"].includes(event.key) && target !== cut) return;
    if (event.key.startsWith("Arrow") && target.closest("#seen")) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || !chosen && "rPage".includes(event.key)) return;
    event.preventDefault();
    action();
  });
  cut.addEventListener("input", () => {
    cut.value = Number(cut.value).toFixed(3);
    moved();
  });
  by("back").addEventListener("click", () => moveTo(example.cut));
  by("predict").addEventListener("click", predict);
  by("stop").addEventListener("click", stop);
  by("reveal").addEventListener("click", reveal);
  by("play").addEventListener("click", play);
  by("next").addEventListener("click", next);
  by("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  by("ask").addEventListener("input", mark);
  // Several samples without a temperature would all be the same.
  by("samples").addEventListener("input", () => {
    if (Number(by("samples").value) > 1 && Number(by("temperature").value) === 0) by("temperature").value = 1;
  });
  by("file").addEventListener("change", (event) => {
    if (event.target.files.length) upload(event.target.files[0]);
    // The same file again is a change, too.
    event.target.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("over", kind === "dragover");
    });
  }
  document.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
  });
  video.addEventListener("click", () => play());
  video.addEventListener("loadedmetadata", () => { video.currentTime = lastShown(); });
  video.addEventListener("error", () => {
    if (!chosen) return;
    video.hidden = by("play").disabled = true;
    by("unplayable").hidden = by("still").hidden = false;
    showStill();
  });

  showModels().catch(fail);
  get("start").then((start) => {
    examples = start.examples;
    by("examples").replaceChildren(...examples.map(card));
    by("next").hidden = !examples.length;
    if (examples.length) return chooseExample(0);
  }).catch(fail);
})();
