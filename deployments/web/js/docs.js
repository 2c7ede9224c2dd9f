// The page of the API: Swagger UI over the server's own document, with the session that this browser has.
import { csrfToken } from "./api.js";
import { byId } from "./dom.js";
import { language, setLanguage, translatePage } from "./i18n.js";
import { haveKey, startKeyDialog } from "./keydialog.js";
import { readFragment } from "./state.js";
import { startStatus, watchStatus } from "./status.js";

readFragment();
translatePage();
byId("language").addEventListener("click", () => setLanguage(language() === "en" ? "zh" : "en"));
startKeyDialog(show);
startStatus();
await haveKey();
show();
await watchStatus();

function show() {
  globalThis.SwaggerUIBundle({
    domNode: byId("api"),
    url: "/openapi.json",
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    deepLinking: false, // its links stand inside buttons, where a keyboard finds two things in one place
    validatorUrl: null,
    requestInterceptor: (request) => {
      const isKeyed = Object.keys(request.headers).some((name) => /^(authorization|x-api-key)$/i.test(name));
      if (!isKeyed) request.headers["X-CSRF-Token"] = csrfToken();
      return request;
    },
  });
}
