/// The page at `/`: a chat with the served model. One file, which asks for nothing from anywhere else.
enum WebPage {
    /// What the page may do: nothing but talk to this server.
    static let policy =
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    static let html = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Martlet</title>
        <style>
        :root { color-scheme: light dark; --bg: #fbfaf8; --fg: #1d1d1f; --soft: #efede8; --line: #d8d5ce; --accent: #0b5cad; --bad: #b3261e; }
        @media (prefers-color-scheme: dark) { :root { --bg: #17181a; --fg: #e8e6e3; --soft: #24262a; --line: #3a3d42; --accent: #7ab8ff; --bad: #ff8a80; } }
        * { box-sizing: border-box; }
        html, body { height: 100%; margin: 0; }
        body { display: flex; flex-direction: column; background: var(--bg); color: var(--fg); font: 16px/1.5 system-ui, sans-serif; }
        header, form, details { padding: .5rem max(1rem, calc(50vw - 24rem)); }
        header { display: flex; gap: 1rem; align-items: baseline; border-bottom: 1px solid var(--line); }
        h1 { font-size: 1.1rem; margin: 0; }
        #status { margin-left: auto; font-size: .85rem; opacity: .8; }
        main { flex: 1; overflow-y: auto; padding: 1rem max(1rem, calc(50vw - 24rem)); }
        article { margin: 0 0 1rem; padding: .6rem .9rem; border-radius: .8rem; overflow-wrap: anywhere; }
        article.user { background: var(--soft); margin-left: 12%; }
        article.error { color: var(--bad); }
        article h2 { font-size: .75rem; margin: 0; opacity: .7; text-transform: uppercase; letter-spacing: .05em; }
        article img { max-width: 12rem; max-height: 12rem; border-radius: .5rem; }
        article footer { font-size: .8rem; opacity: .8; }
        pre { background: var(--soft); padding: .6rem; border-radius: .5rem; overflow-x: auto; }
        code { font-family: ui-monospace, monospace; font-size: .92em; }
        form { display: flex; gap: .5rem; align-items: end; border-top: 1px solid var(--line); flex-wrap: wrap; }
        textarea { flex: 1 1 12rem; min-width: 0; resize: none; max-height: 40vh; }
        button, textarea, input, select { font: inherit; color: inherit; background: var(--bg); border: 1px solid var(--line); border-radius: .6rem; padding: .45rem .7rem; }
        button { cursor: pointer; }
        button.primary { background: var(--accent); border-color: var(--accent); color: var(--bg); }
        button.link { border: 0; padding: 0 .5rem 0 0; background: none; color: var(--accent); font-size: .8rem; }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
        details label { display: inline-flex; gap: .4rem; align-items: center; margin: .2rem 1rem .2rem 0; font-size: .9rem; }
        details input { width: 6rem; padding: .2rem .4rem; }
        details input.wide { width: 16rem; max-width: 60vw; }
        .hidden { position: absolute; left: -999rem; }
        @media (max-width: 32rem) { textarea { flex-basis: 100%; } header { flex-wrap: wrap; gap: 0 1rem; } }
        </style>
        </head>
        <body>
        <header><h1>Martlet</h1><span id="model"></span><span id="status">…</span></header>
        <main id="log" aria-label="Conversation" tabindex="0"></main>
        <div id="said" class="hidden" role="status"></div>
        <details>
        <summary>Parameters</summary>
        <label>Temperature <input id="temperature" type="number" min="0" max="5" step="0.1" placeholder="default"></label>
        <label>Top-p <input id="top_p" type="number" min="0.01" max="1" step="0.01" placeholder="default"></label>
        <label>Max tokens <input id="max_tokens" type="number" min="1" step="1" placeholder="no limit"></label>
        <label>Seed <input id="seed" type="number" step="1" placeholder="random"></label>
        <label>System <input id="system" class="wide" placeholder="none"></label>
        <label>API key <input id="key" class="wide" type="password" autocomplete="off"></label>
        </details>
        <form id="form">
        <label class="hidden" for="text">Message</label>
        <textarea id="text" rows="1" placeholder="Message" title="Enter sends, Shift+Enter begins a new line" autofocus></textarea>
        <input id="file" hidden type="file" accept="image/png,image/jpeg,image/webp" multiple aria-label="Images">
        <button type="button" id="attach" aria-label="Attach images">Image</button>
        <button class="primary" id="send">Send</button>
        <button type="button" id="stop" hidden>Stop</button>
        <button type="button" id="clear">New</button>
        </form>
        <script>
        "use strict";
        const $ = id => document.getElementById(id);
        let messages = [], images = [], controller = null;
        $("key").value = sessionStorage.getItem("key") || "";
        $("key").onchange = () => { sessionStorage.setItem("key", $("key").value); look(); };
        const headers = () => Object.assign({ "Content-Type": "application/json" }, $("key").value ? { Authorization: "Bearer " + $("key").value } : {});

        // Markdown by hand: text never becomes markup except through these elements.
        function inline(parent, text) {
          const pattern = /(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/g;
          for (const part of text.split(pattern)) {
            let element = null;
            if (/^`.+`$/.test(part)) { element = document.createElement("code"); element.textContent = part.slice(1, -1); }
            else if (/^\*\*.+\*\*$/.test(part)) { element = document.createElement("strong"); element.textContent = part.slice(2, -2); }
            else if (/^\*.+\*$/.test(part)) { element = document.createElement("em"); element.textContent = part.slice(1, -1); }
            parent.append(element || part);
          }
        }
        function markdown(parent, text) {
          parent.replaceChildren();
          const lines = text.split("\n");
          let list = null;
          for (let i = 0; i < lines.length; i++) {
            const line = lines[i];
            if (line.startsWith("```")) {
              const code = document.createElement("code"), pre = document.createElement("pre"), body = [];
              for (i++; i < lines.length && !lines[i].startsWith("```"); i++) body.push(lines[i]);
              code.textContent = body.join("\n"); pre.append(code); parent.append(pre); list = null; continue;
            }
            const heading = line.match(/^(#{1,4}) (.*)/), item = line.match(/^\s*(?:[-*]|(\d+)\.) (.*)/);
            if (item) {
              const kind = item[1] ? "OL" : "UL";
              if (!list || list.tagName !== kind) { list = document.createElement(kind); if (item[1]) list.start = +item[1]; parent.append(list); }
              const li = document.createElement("li"); inline(li, item[2]); list.append(li); continue;
            }
            list = null;
            if (!line.trim()) continue;
            const element = document.createElement(heading ? "h" + (heading[1].length + 2) : "p");
            inline(element, heading ? heading[2] : line); parent.append(element);
          }
        }
        const textOf = message => typeof message.content === "string" ? message.content : message.content.filter(p => p.type === "text").map(p => p.text).join("\n");
        function show() {
          const log = $("log"); log.replaceChildren();
          messages.forEach((message, index) => {
            const article = document.createElement("article"); article.className = message.role;
            const title = document.createElement("h2"); title.textContent = message.role; article.append(title);
            if (Array.isArray(message.content)) for (const part of message.content) if (part.type === "image_url") {
              const image = document.createElement("img"); image.src = part.image_url.url; image.alt = "attached image"; article.append(image);
            }
            const body = document.createElement("div"); message.body = body; markdown(body, textOf(message)); article.append(body);
            const footer = document.createElement("footer"); message.footer = footer; footer.append(message.note || "");
            const button = (name, action) => { const b = document.createElement("button"); b.type = "button"; b.className = "link"; b.textContent = name; b.onclick = action; footer.append(" ", b); };
            if (!controller && message.role === "user") button("Edit", () => {
              if ($("text").value.trim() && !confirm("Replace the message that you are writing?")) return;
              const parts = Array.isArray(message.content) ? message.content : [];
              images = parts.filter(p => p.type === "image_url").map(p => p.image_url.url); count();
              $("text").value = textOf(message); messages = messages.slice(0, index); show(); grow(); $("text").focus();
            });
            if (!controller && message.role !== "user" && index === messages.length - 1) button(message.role === "error" ? "Retry" : "Regenerate", () => {
              while (messages.length && messages[messages.length - 1].role !== "user") messages.pop();
              answer();
            });
            article.append(footer); log.append(article);
          });
          log.scrollTop = log.scrollHeight;
          $("stop").hidden = !controller; $("send").hidden = !!controller;
        }
        async function answer() {
          // Many templates want turns in turn: a question whose answer failed is not asked again.
          const turns = messages.filter(m => m.role !== "error").filter((m, i, all) => m.role !== "user" || !all[i + 1] || all[i + 1].role !== "user");
          const body = { messages: turns.map(m => ({ role: m.role, content: m.content })), stream: true, stream_options: { include_usage: true } };
          if ($("system").value) body.messages.unshift({ role: "system", content: $("system").value });
          for (const name of ["temperature", "top_p", "max_tokens", "seed"]) if ($(name).value !== "") body[name] = Number($(name).value);
          const message = { role: "assistant", content: "", note: "" };
          messages.push(message); controller = new AbortController(); show();
          let first = 0, parts = 0;
          try {
            const response = await fetch("v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(body), signal: controller.signal });
            if (!response.ok) throw new Error((await response.json()).error.message);
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            let rest = "";
            for (;;) {
              const { value, done } = await reader.read();
              if (done) break;
              const events = (rest + value).split("\n\n"); rest = events.pop();
              for (const event of events) {
                if (!event.startsWith("data: {")) continue;
                const data = JSON.parse(event.slice(6));
                if (data.error) throw new Error(data.error.message);
                const delta = data.choices[0] && data.choices[0].delta.content;
                if (delta) { message.content += delta; parts++; first = first || performance.now(); }
                const seconds = (performance.now() - first) / 1000;
                if (parts > 1 && seconds > 0) message.note = (parts / seconds).toFixed(1) + " tok/s";
                if (data.usage) message.note = data.usage.completion_tokens + " tokens" + (message.note ? ", " + message.note : "");
                const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
                markdown(message.body, message.content); message.footer.textContent = message.note;
                if (atEnd) log.scrollTop = log.scrollHeight;
              }
            }
          } catch (error) {
            if (error.name === "AbortError") message.note = (message.note ? message.note + ", " : "") + "stopped";
            else { if (!message.content) messages.pop(); messages.push({ role: "error", content: String(error.message || error) }); }
          }
          controller = null;
          // Screen readers hear an answer once, as a whole.
          if (messages.length) $("said").textContent = textOf(messages[messages.length - 1]);
          const isElsewhere = document.activeElement !== document.body && !$("form").contains(document.activeElement);
          show();
          // Where a finger points, focus opens a keyboard over the answer.
          if (!isElsewhere && matchMedia("(pointer: fine)").matches) $("text").focus();
        }
        $("form").onsubmit = event => {
          event.preventDefault();
          const text = $("text").value.trim();
          if (controller || (!text && !images.length)) return;
          const parts = images.map(url => ({ type: "image_url", image_url: { url } }));
          messages.push({ role: "user", content: images.length ? [...parts, { type: "text", text }] : text });
          images = []; count(); $("text").value = ""; grow(); answer();
        };
        function count() { $("attach").textContent = images.length ? "Image (" + images.length + ")" : "Image"; }
        function grow() { const t = $("text"); t.style.height = "auto"; t.style.height = t.scrollHeight + 2 + "px"; }
        $("text").oninput = grow;
        $("text").onkeydown = event => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("form").requestSubmit(); } };
        $("stop").onclick = () => controller && controller.abort();
        document.onkeydown = event => { if (event.key === "Escape" && controller) controller.abort(); };
        $("clear").onclick = () => { if (controller) controller.abort(); messages = []; show(); $("text").focus(); };
        $("attach").onclick = () => $("file").click();
        $("file").onchange = async () => {
          for (const file of $("file").files) images.push(await new Promise(done => { const r = new FileReader(); r.onload = () => done(r.result); r.readAsDataURL(file); }));
          $("file").value = ""; count();
        };
        // Written only where it changes.
        function state(text) { if ($("status").textContent !== text) $("status").textContent = text; }
        async function look() {
          try {
            const ready = (await fetch("ready")).ok;
            const models = await (await fetch("v1/models", { headers: headers() })).json();
            if (models.error) return state(models.error.message);
            $("model").textContent = models.data[0].id;
            const metrics = await (await fetch("metrics", { headers: headers() })).text();
            const read = name => { const found = metrics.match(new RegExp("^(?:martlet|vllm):" + name + "\\{.*\\} (.*)$", "m")); return found ? Number(found[1]) : 0; };
            state((ready ? "ready" : "draining") + ", " + read("num_requests_running") + " running, " + read("num_requests_waiting") + " waiting");
          } catch { state("not reachable"); }
        }
        look(); setInterval(look, 5000); show();
        </script>
        </body>
        </html>
        """#
}
