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

// The chart is one stop of the Tab key; the arrow keys walk along its points. The document listens, because charts come
// and go, and because Chromium would make an svg with a focus listener another stop.
const STEPS = {
    ArrowLeft: (current) => current - 1,
    ArrowRight: (current) => current + 1,
    PageUp: (current) => current - 7,
    PageDown: (current) => current + 7,
    Home: () => 0,
    End: (current, last) => last,
};

const slotsAround = (element) => [...(element.closest(".app-metrics-chart")?.querySelectorAll(".slot") ?? [])];

// Make one point the stop of the Tab key: the one given, the one that is it already, or else the last one.
const reach = (slots, index = slots.findLastIndex((slot) => slot.getAttribute("tabindex") === "0")) => {
    const stop = slots.at(index);
    slots.forEach((slot) => slot.setAttribute("tabindex", slot === stop ? "0" : "-1"));
    return stop;
};

const prepareCharts = () => document.querySelectorAll(".app-metrics-chart").forEach((chart) => reach(slotsAround(chart)));

document.addEventListener("keydown", (event) => {
    document.documentElement.classList.toggle("app-metrics-dismissed", event.key === "Escape");
    const slots = slotsAround(event.target);
    if (slots.length && STEPS[event.key] && !event.altKey && !event.ctrlKey && !event.metaKey) {
        const wanted = STEPS[event.key](slots.indexOf(reach(slots)), slots.length - 1);
        reach(slots, Math.max(0, Math.min(slots.length - 1, wanted))).focus();
        event.preventDefault();
    }
});
document.addEventListener("pointerover", (event) => {
    if (event.target.closest(".app-metrics-chart")) {
        document.documentElement.classList.remove("app-metrics-dismissed");
    }
});
document.addEventListener("focusin", (event) => {
    const slots = slotsAround(event.target), index = slots.indexOf(event.target);
    if (index >= 0) {
        reach(slots, index);
    }
});
prepareCharts();

// Live numbers: while the page is visible, fetch it again twice a minute, and change what differs in place, so that
// focus, scroll positions and the open box of a chart stay. Forms keep what the user has entered.
const PAUSE = 30000, MOST_FAILURES = 3;
const live = document.querySelector("[data-live]");
let timer, updatedAt = Date.now(), failures = 0;

const areAlike = (one, other) => one.nodeName === other.nodeName && one.id === other.id;

const countAlike = (nodes, others) => {
    const index = nodes.findIndex((node, at) => at >= others.length || !areAlike(node, others[at]));
    return index < 0 ? nodes.length : index;
};

// The state that the reader or this script gives an element, and the server does not know.
const OWN = ["tabindex", "open"];

const updateAttributes = (old, fresh) => {
    for (const {name} of [...old.attributes, ...fresh.attributes]) {
        const value = fresh.getAttribute(name);
        if (value === old.getAttribute(name) || OWN.includes(name)) {
            continue;
        }
        if (value === null) {
            old.removeAttribute(name);
        } else {
            old.setAttribute(name, value);
        }
    }
};

// Children that are alike at the beginning and at the end are updated; those between them are replaced.
const updateChildren = (old, fresh) => {
    const before = [...old.childNodes], after = [...fresh.childNodes];
    const head = countAlike(before, after);
    const tail = countAlike(before.slice(head).reverse(), after.slice(head).reverse());
    const next = before[before.length - tail] ?? null;
    before.slice(0, head).forEach((node, at) => update(node, after[at]));
    before.slice(before.length - tail).forEach((node, at) => update(node, after[after.length - tail + at]));
    before.slice(head, before.length - tail).forEach((node) => node.remove());
    after.slice(head, after.length - tail).forEach((node) => old.insertBefore(node, next));
};

const update = (old, fresh) => {
    if (old.nodeName === "FORM" || old.isEqualNode(fresh)) {
        return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
        old.nodeValue = fresh.nodeValue;
        return;
    }
    updateAttributes(old, fresh);
    updateChildren(old, fresh);
};

// A link keeps the focus when its row or card is replaced because it moved.
const keepingFocus = (change) => {
    const focused = document.activeElement, place = focused?.closest("[id]")?.id, link = focused?.getAttribute("href");
    change();
    if (place && link && !focused.isConnected) {
        const moved = document.getElementById(place)?.querySelector(`a[href="${CSS.escape(link)}"]`);
        moved?.focus({preventScroll: true});
    }
};

const fetchLive = async () => {
    const answer = await fetch(location.href, {redirect: "manual", cache: "no-store"});
    const page = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
    return page && page.querySelector("[data-live]");
};

const refresh = async () => {
    const fresh = await fetchLive().catch(() => null);
    failures = fresh ? 0 : failures + 1;
    if (fresh) {
        updatedAt = Date.now();
        keepingFocus(() => update(live, fresh));
        prepareCharts();
    }
    if (failures < MOST_FAILURES) {
        schedule();
    } else {
        const status = document.querySelector("[data-stopped]");
        status.textContent = status.dataset.stopped;
    }
};

const schedule = () => {
    clearTimeout(timer);
    if (!document.hidden && failures < MOST_FAILURES) {
        // After a failure a whole pause, after a time in the background only the rest of one.
        timer = setTimeout(refresh, failures ? PAUSE : Math.max(0, updatedAt + PAUSE - Date.now()));
    }
};

if (live) {
    document.addEventListener("visibilitychange", schedule);
    schedule();
}
