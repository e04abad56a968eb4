// Keys and buttons of the page: show the second part, decide, edit, go to another question.
"use strict";
(() => {
  const { token, id, of, place, questions, state } = document.body.dataset;
  const first = document.getElementById("first");
  const second = document.getElementById("second");
  const form = document.getElementById("edit");
  const asked = document.getElementById("asked");
  const error = document.getElementById("error");
  let isShown = false;
  let isSending = false;

  function show() {
    if (isShown) return;
    isShown = true;
    second.src = second.dataset.src;
    for (const element of document.querySelectorAll(".after")) element.hidden = false;
    document.querySelector("[data-right]").classList.add("right");
    document.getElementById("show").hidden = true;
    first.pause();
    play(second);
  }

  function play(video) {
    // A browser may refuse to start a video by itself: its button is there.
    video.play().catch(() => video.focus());
  }

  function toggle() {
    const video = isShown ? second : first;
    if (video.paused) play(video);
    else video.pause();
  }

  function go(number) {
    if (number >= 1 && number <= Number(questions)) location.assign(String(number));
  }

  async function decide(verdict, edited) {
    if (!isShown || isSending) return;
    isSending = true;
    error.textContent = "";
    try {
      const answer = await fetch("../decision", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Page-Token": token },
        body: JSON.stringify({ id, of, verdict, edited }),
      });
      const said = await answer.json();
      if (answer.ok) location.assign(said.next);
      else error.textContent = `Not saved: ${said.error}`;
    } catch (problem) {
      error.textContent = `Not saved: the server does not answer (${problem.message})`;
    }
    isSending = false;
  }

  function edit(open) {
    if (!isShown) return;
    form.hidden = !open;
    asked.hidden = open;
    // Its buttons decide on the text as it was.
    document.querySelector("nav").hidden = open;
    error.textContent = "";
    if (open) form.elements.question.focus();
  }

  function edited() {
    const value = (name) => form.elements[name].value.trim().replace(/\s+/g, " ");
    const options = Object.fromEntries(["A", "B", "C", "D"].map((letter) => [letter, value(letter)]));
    return { question: value("question"), options, answer: form.elements.answer.value };
  }

  const actions = {
    Enter: show,
    // What is accepted is the text that the page shows.
    a: () => decide("accept", state === "edited" ? edited() : null),
    r: () => decide("reject", null),
    e: () => edit(true),
    Escape: () => edit(false),
    n: () => go(Number(place) + 1),
    p: () => go(Number(place) - 1),
    " ": toggle,
  };

  document.addEventListener("keydown", (event) => {
    if (!form.hidden) {
      if (event.key === "Escape") edit(false);
      if (event.key === "Enter" && event.ctrlKey) form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    // A focused button or video has these keys for itself.
    if (event.target.closest("button, video") && ["Enter", " "].includes(event.key)) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  for (const button of document.querySelectorAll("button[data-key]")) {
    button.addEventListener("click", () => actions[button.dataset.key]());
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    decide("accept", edited());
  });
  first.addEventListener("error", () => {
    document.querySelector(".lost").hidden = false;
  });
})();
