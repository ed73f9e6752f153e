//! The style, the script and the icon: files of this folder, compiled in.
//!
//! Guards: the address of a file has a part of its hash, so a browser keeps it for good and gets a new one after an
//! upgrade. Not here: the pages.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::web::state::State;

/// A file.
pub(super) struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    /// Its path below the prefix of links.
    pub(super) fn path(&self) -> &'static str {
        // Every asset is in the list.
        PATHS.iter().find(|(_, asset)| asset.name == self.name).map_or("", |(path, _)| path)
    }

    fn hashed_path(&self) -> String {
        let digest = Sha256::digest(self.text);
        let hash = u64::from_be_bytes(std::array::from_fn(|at| digest[at]));
        format!("/assets/{hash:016x}/{}", self.name)
    }

    fn response(&self) -> Response {
        let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
        (
            [(header::CONTENT_TYPE, HeaderValue::from_static(self.kind)), (header::CACHE_CONTROL, kept)],
            self.text,
        )
            .into_response()
    }
}

/// The style.
pub(super) static STYLE: Asset =
    Asset { name: "style.css", kind: "text/css; charset=utf-8", text: include_str!("style.css") };
/// The script.
pub(super) static SCRIPT: Asset =
    Asset { name: "page.js", kind: "text/javascript; charset=utf-8", text: include_str!("page.js") };
/// The icon.
pub(super) static ICON: Asset =
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("icon.svg") };

/// Their paths do not change while the process runs.
static PATHS: LazyLock<[(String, &Asset); 3]> =
    LazyLock::new(|| [&STYLE, &SCRIPT, &ICON].map(|asset| (asset.hashed_path(), asset)));

/// Their routes, open without a token.
pub(super) fn routes() -> Router<State> {
    PATHS.iter().fold(Router::new(), |router, (path, asset)| {
        let asset: &'static Asset = asset;
        router.route(path, get(move || async move { asset.response() }))
    })
}
