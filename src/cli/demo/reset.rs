//! Puts a demo back to how it began: the customers of the stories are made anew, and what was pushed in them
//! is retired. What anybody tried with other customers stays.

use hyper::{Method, StatusCode, header};

use crate::bundle::Bundle;
use crate::cli::client::{Client, NO_HEADERS, encoded};
use crate::cli::ending::Failure;
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::Problems;

/// The customer whom the stories make, besides those with a name in the population.
const OF_THE_STORIES: &str = "c-2001";
/// The rule set that the stories push.
const PUSHED: &str = "flash";

/// The customers of the stories as JSON, each with its id.
fn customers(bundle: &Bundle) -> Result<Vec<(String, String)>, Failure> {
    let Some(source) = &bundle.population else { return Ok(Vec::new()) };
    let source = std::sync::Arc::new(crate::input::problem::Source {
        name: source.name.clone(),
        text: source.text.clone(),
    });
    let input = Input::from_yaml(&source)?;
    let root = Cursor::root(&input, Some(&source));
    let Some(named) = root.entry("named") else { return Ok(Vec::new()) };
    let entries = named.entries(&mut Problems::new()).unwrap_or_default();
    let written = |(id, cursor): &(&str, Cursor<'_, '_>)| {
        let features = serde_json::to_string(cursor.input);
        features.map(|features| ((*id).to_owned(), features)).map_err(|e| Failure::new(e.to_string()))
    };
    entries.iter().map(written).collect()
}

/// Makes the customers of the stories anew on a running server. Returns how many.
pub(super) async fn reset(client: &mut Client, bundle: &Bundle) -> Result<usize, Failure> {
    let customers = customers(bundle)?;
    let ids = customers.iter().map(|(id, _)| id.as_str()).chain([OF_THE_STORIES]);
    let paths = ids.map(|id| format!("/v1/customers/{}", encoded(id)));
    for path in paths.chain([format!("/v1/rule-sets/{PUSHED}")]) {
        let answer = client.send(Method::DELETE, &path, NO_HEADERS, "").await?;
        // Nobody is there twice, and nothing is retired twice.
        let is_gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
        if !answer.status.is_success() && !is_gone {
            return Err(answer.problems(&[]).into());
        }
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    for (id, features) in &customers {
        let path = format!("/v1/customers/{}", encoded(id));
        client.send(Method::PUT, &path, &json, features.clone()).await?.success()?;
    }
    Ok(customers.len())
}
