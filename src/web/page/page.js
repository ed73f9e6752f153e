// Keeps a page that the server drew up to date: times tick, and after an event the page is fetched again and merged.
"use strict";
(() => {
  const root = document.documentElement, zh = root.lang.startsWith("zh");
  const go = document.querySelector("[data-go]");
  if (go) return void location.replace(go.href);
  if (!root.dataset.stream) return;
  let base = +root.dataset.now, read = performance.now();
  const now = () => base + performance.now() - read;
  const span = ms => {
    const s = Math.max(0, Math.floor(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (s < 60) return s + (zh ? " 秒" : " s");
    if (m < 60) return m + (zh ? " 分钟" : " min");
    if (h < 48) return zh ? `${h} 小时 ${m % 60} 分` : `${h} h ${m % 60} min`;
    return Math.floor(h / 24) + (zh ? " 天" : " days");
  };
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-ago],time[data-in],time[data-for]")) {
      const { ago, in: ahead, for: since } = time.dataset;
      if (ago) write(time, zh ? span(now() - ago) + "前" : span(now() - ago) + " ago");
      else if (since) write(time, span(now() - since));
      else write(time, ahead <= now() ? (zh ? "现在" : "now") : zh ? span(ahead - now()) + "后" : "in " + span(ahead - now()));
    }
  };
  // Makes `old` the same as `new`, and leaves what is the same, or being used, as it is.
  const merge = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1 || fresh.nodeType !== 1 || old.tagName !== fresh.tagName || old.id !== fresh.id) return void old.replaceWith(fresh);
    if (old.matches("input,select,textarea") && old === document.activeElement) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const known = new Map([...old.children].filter(child => child.id).map(child => [child.id, child]));
    const wanted = [...fresh.childNodes];
    let at = old.firstChild;
    for (const node of wanted) {
      const same = node.id && known.get(node.id);
      if (same) {
        if (same === at) at = at.nextSibling; else old.insertBefore(same, at);
        merge(same, node);
      } else if (at && !at.id && !node.id && at.nodeType === node.nodeType) {
        const next = at.nextSibling;
        merge(at, node);
        at = next;
      } else {
        if (node.classList?.contains("person")) node.classList.add("new");
        old.insertBefore(node, at);
      }
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  };
  const live = document.getElementById("live");
  const show = on => {
    if (!live) return;
    live.classList.toggle("on", on);
    live.classList.toggle("off", !on);
    write(live.lastElementChild, on ? live.dataset.on : live.dataset.off);
  };
  let running = false, again = false;
  const refresh = async (url = location.href) => {
    if (running) return void (again = url);
    running = true;
    try {
      const response = await fetch(url, { credentials: "same-origin", headers: { Accept: "text/html" } });
      if (response.status === 401) return void location.reload();
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.querySelector("main");
      if (!response.ok || !fresh) return;
      base = +page.documentElement.dataset.now;
      read = performance.now();
      merge(document.querySelector("main"), document.importNode(fresh, true));
      tick();
    } catch { show(false); } finally {
      // At most one page a second, however many events come.
      setTimeout(() => { running = false; if (again) { const next = again; again = false; refresh(next); } }, 600);
    }
  };
  const connect = () => {
    const source = new EventSource(root.dataset.stream);
    source.onopen = () => { show(true); };
    source.onmessage = () => refresh();
    source.addEventListener("changed", () => refresh());
    source.onerror = () => {
      show(false);
      // Refused, for example because the daemon starts: the browser itself does not try again.
      if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(() => { refresh(); connect(); }, 5000); }
    };
  };
  document.addEventListener("input", event => {
    const form = event.target.form;
    if (event.target.type !== "range" || !form) return;
    const url = `${location.pathname}?${new URLSearchParams(new FormData(form))}`;
    history.replaceState(null, "", url);
    refresh(url);
  });
  tick();
  setInterval(tick, 1000);
  setInterval(refresh, 60000);
  if (window.EventSource && !document.querySelector("[data-still]")) connect();
})();
