// Conveniences; the pages work without JavaScript.
"use strict";

// Keep a named range, such as the last four weeks, unless a date was changed.
for (const form of document.querySelectorAll("form.app-metrics-range")) {
    form.addEventListener("formdata", (event) => {
        const dates = [...form.querySelectorAll("input[type=date]")];
        if (form.elements.range && dates.every((date) => date.value === date.defaultValue)) {
            dates.forEach((date) => event.formData.delete(date.name));
        }
    });
}

// The chart is one stop of the Tab key; the arrow keys walk along its points. The figure listens, not the svg: Chromium
// would make an svg with a focus listener another stop.
for (const chart of document.querySelectorAll(".app-metrics-chart")) {
    const slots = [...chart.querySelectorAll(".slot")];
    let current = slots.length - 1;
    const steps = {
        ArrowLeft: () => current - 1,
        ArrowRight: () => current + 1,
        PageUp: () => current - 7,
        PageDown: () => current + 7,
        Home: () => 0,
        End: () => slots.length - 1,
    };

    const reach = (index) => {
        slots[current].setAttribute("tabindex", "-1");
        current = Math.max(0, Math.min(slots.length - 1, index));
        slots[current].setAttribute("tabindex", "0");
    };

    slots.forEach((slot) => slot.setAttribute("tabindex", "-1"));
    if (slots.length) {
        reach(current);
    }
    chart.addEventListener("keydown", (event) => {
        if (steps[event.key] && !event.altKey && !event.ctrlKey && !event.metaKey) {
            reach(steps[event.key]());
            slots[current].focus();
            event.preventDefault();
        }
    });
    document.addEventListener("keydown", (event) => {
        chart.classList.toggle("dismissed", event.key === "Escape");
    });
    chart.addEventListener("pointerover", () => chart.classList.remove("dismissed"));
    chart.addEventListener("focusin", (event) => {
        const index = slots.indexOf(event.target);
        if (index >= 0) {
            reach(index);
        }
    });
}
