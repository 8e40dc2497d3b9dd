//! A plugin as its author wrote it for Extism, with the public kit: it knows nothing of Riposte.

use extism_pdk::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Params {
    login: String,
}

#[derive(Serialize, Deserialize, FromBytes, ToBytes)]
#[encoding(Json)]
struct Person {
    name: String,
}

#[plugin_fn]
pub fn who_is(Json(p): Json<Params>) -> FnResult<Person> {
    let base = config::get("url")?.ok_or_else(|| Error::msg("no url"))?;
    let response = http::request::<()>(&HttpRequest::new(format!("{base}/people/{}", p.login)), None)?;
    if response.status_code() == 404 {
        return Err(WithReturnCode::new(Error::msg(format!("nobody is called {}", p.login)), 1));
    }
    info!("found {}", p.login);
    var::set("seen", p.login)?;
    Ok(response.json()?)
}
