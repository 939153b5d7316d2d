//! The style, the one script and the mark: in the binary, so that nothing comes from elsewhere.

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", include_str!("../assets/console.css")),
        "console.js" => ("text/javascript; charset=utf-8", include_str!("../assets/console.js")),
        "mark.svg" => ("image/svg+xml", include_str!("../assets/mark.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    // Another version has the same names: a browser asks again after an hour.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], text).into_response()
}
