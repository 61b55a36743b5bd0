//! What a window is made into: as the event says, else as the variables say, else as it is said nowhere.

use export_jobs::{Format, SchemaMode};
use serde_json::{Value as Json, json};

use crate::simulation::{LAKE, World};

const SCHEMA: &str = r#"{"version":1,"discriminator":"kind","entities":{"offer":{"columns":[{"name":"id","type":"string"}]}}}"#;
const OTHER_SCHEMA: &str =
    r#"{"version":1,"entities":{"item":{"columns":[{"name":"id","type":"string"}]}}}"#;
const SHAPING: &str = r#"{"columns":{"secret":{"drop":true}}}"#;
const OTHER_SHAPING: &str = r#"{"columns":{"secret":{"rename":"known"}}}"#;

/// A world whose function has every variable of this kind, and documents for them and for the events.
fn world() -> World {
    let mut world = World::new(1);
    world.variables = vec![
        ("OUTPUT_FORMAT", "parquet"),
        ("SCHEMA_KEY", "settings/schema.json"),
        ("DISCRIMINATOR", "family"),
        ("SHAPING_KEY", "settings/shaping.json"),
    ];
    for (key, text) in [
        ("settings/schema.json", SCHEMA),
        ("settings/other-schema.json", OTHER_SCHEMA),
        ("settings/shaping.json", SHAPING),
        ("settings/other-shaping.json", OTHER_SHAPING),
    ] {
        world.lake.inner().seed(LAKE, key, text, &[]);
    }
    world
}

/// The schema that a begun window keeps.
fn kept(world: &World, key: &str) -> String {
    let objects = world.lake.inner().snapshot(LAKE);
    let body = objects.get(key).expect("the schema is kept");
    String::from_utf8(body.to_vec()).expect("a schema is a text")
}

#[tokio::test(start_paused = true)]
async fn a_window_is_made_as_the_event_says_and_else_as_the_variables_say() {
    use Format::{Changes, JsonLines, Parquet};
    use SchemaMode::{Declared, Inferred};
    let cases = [
        // The schema says what the discriminator is.
        (
            json!({}),
            Parquet,
            Some((Declared, Some(SCHEMA))),
            Some("kind"),
            Some(SHAPING),
        ),
        (
            json!({"schema": "inferred"}),
            Parquet,
            Some((Inferred, None)),
            Some("family"),
            Some(SHAPING),
        ),
        (
            json!({"schema": "inferred", "discriminator": "type"}),
            Parquet,
            Some((Inferred, None)),
            Some("type"),
            Some(SHAPING),
        ),
        (
            json!({"schema_key": "settings/other-schema.json", "shaping_key": "settings/other-shaping.json"}),
            Parquet,
            Some((Declared, Some(OTHER_SCHEMA))),
            None,
            Some(OTHER_SHAPING),
        ),
        (
            json!({"format": "json-lines"}),
            JsonLines,
            None,
            Some("family"),
            Some(SHAPING),
        ),
        // A change record is the whole item.
        (json!({"format": "changes"}), Changes, None, None, None),
    ];
    for (said, format, schema, discriminator, shaping) in cases {
        let world = world();
        let mut event = json!({"action": "begin", "window": "a"});
        for (name, value) in said.as_object().expect("an event's members") {
            event[name] = value.clone();
        }
        let begun: Json = world.call(event).await.expect("it can be begun");
        let job = begun["job"].as_str().expect("a job is begun");
        let row = world.row(job).await.expect("it is recorded");
        assert_eq!(row.settings.format, format, "{said}");
        assert_eq!(row.settings.schema, schema.map(|(mode, _)| mode), "{said}");
        let text = row.schema_key.as_deref().map(|key| kept(&world, key));
        assert_eq!(text.as_deref(), schema.and_then(|(_, text)| text), "{said}");
        assert_eq!(
            row.settings.discriminator.as_deref(),
            discriminator,
            "{said}"
        );
        assert_eq!(row.settings.shaping.as_deref(), shaping, "{said}");
    }
}
