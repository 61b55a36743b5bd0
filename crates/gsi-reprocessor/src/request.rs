//! The event: a call of the schedule, or an order for some lanes.

use serde::Deserialize;
use serde_json::Value;

use crate::config::{Config, Output};
use crate::markers::Lane;

/// Items that one run takes from a lane at most, whatever the event says.
pub const MAX_ITEMS: u64 = 5_000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The lanes; all of them if the event names none.
    pub lanes: Vec<Lane>,
    /// Items to take from each, 1 to [`MAX_ITEMS`].
    pub limit: u64,
    /// How results are stored.
    pub output: Output,
    /// Whether what is left is to be counted.
    pub count_left: bool,
}

/// An event that says nothing that could be done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not an object with the members that there are.
    #[error(
        "the event cannot be read ({0}): expected an event of a schedule, or an object with any of limit, lane, output and count_left, such as {{\"lane\": 0, \"limit\": 5000}}"
    )]
    Unreadable(String),
    /// No such lane.
    #[error("the event asks for lane {lane}: expected one of 0 to {last}")]
    NoLane {
        /// The lane.
        lane: u64,
        /// The last one.
        last: u32,
    },
    /// Nothing to take.
    #[error("the event's limit is 0: expected 1 to {MAX_ITEMS}")]
    NoItems,
    /// No such output.
    #[error("the event's output is {0:?}: expected \"objects\" or \"bundles\"")]
    NoOutput(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    limit: Option<u64>,
    lane: Option<u64>,
    output: Option<String>,
    count_left: Option<bool>,
}

impl Request {
    /// Reads an event. Whatever a schedule sends (it has a `source` or a `detail-type`) asks for all lanes.
    ///
    /// # Errors
    /// If it is neither that nor an order that can be carried out.
    pub fn read(event: &Value, config: &Config) -> Result<Self, RequestError> {
        let scheduled = ["source", "detail-type"]
            .iter()
            .any(|name| event.get(name).is_some());
        let order = match scheduled {
            true => Order {
                limit: None,
                lane: None,
                output: None,
                count_left: None,
            },
            false if !event.is_object() => {
                return Err(RequestError::Unreadable("it is no object".to_owned()));
            }
            false => Order::deserialize(event)
                .map_err(|error| RequestError::Unreadable(error.to_string()))?,
        };
        Ok(Self {
            lanes: match order.lane {
                None => config.markers.lanes().collect(),
                Some(number) => vec![lane(number, config)?],
            },
            limit: match order.limit {
                Some(0) => return Err(RequestError::NoItems),
                Some(limit) => limit.min(MAX_ITEMS),
                None => MAX_ITEMS,
            },
            output: match order.output {
                None => config.output,
                Some(output) => output
                    .parse()
                    .map_err(|()| RequestError::NoOutput(output))?,
            },
            count_left: order.count_left.unwrap_or(true),
        })
    }
}

fn lane(number: u64, config: &Config) -> Result<Lane, RequestError> {
    u32::try_from(number)
        .ok()
        .and_then(|number| config.markers.lane(number))
        .ok_or(RequestError::NoLane {
            lane: number,
            last: config.markers.lane_count() - 1,
        })
}

#[cfg(test)]
mod tests {
    use lambda_support::Environment;
    use serde_json::json;

    use super::*;

    fn config(lanes: &str) -> Config {
        Config::read(&Environment::from([
            ("TABLE_NAME", "offers"),
            ("INDEX_NAME", "pending"),
            ("LEDGER_TABLE", "ledger"),
            ("LAKE_BUCKET", "lake"),
            ("PENDING_MARKER", "false#{shard}"),
            ("DONE_MARKER", "true"),
            ("FAILED_MARKER", "failed#{shard}"),
            ("LANES", lanes),
        ]))
        .unwrap()
    }

    #[test]
    fn a_schedule_asks_for_all_lanes() {
        for event in [
            json!({}),
            json!({"source": "aws.scheduler"}),
            json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}),
        ] {
            let request = Request::read(&event, &config("3")).unwrap();
            assert_eq!(request.lanes.len(), 3, "{event}");
            assert_eq!(request.limit, 5_000);
            assert_eq!(request.output, Output::Objects);
            assert!(request.count_left);
        }
    }

    #[test]
    fn an_order_names_a_lane_and_never_takes_more_than_the_cap() {
        let event =
            json!({"lane": 2, "limit": 1_000_000, "output": "bundles", "count_left": false});
        let request = Request::read(&event, &config("3")).unwrap();
        assert_eq!(request.lanes.len(), 1);
        assert_eq!(request.lanes[0].pending, "false#2");
        assert_eq!(request.limit, MAX_ITEMS);
        assert_eq!(request.output, Output::Bundles);
        assert!(!request.count_left);
        let few = Request::read(&json!({"limit": 7}), &config("3")).unwrap();
        assert_eq!((few.limit, few.lanes.len()), (7, 3));
    }

    #[test]
    fn promise_11_an_event_that_is_none_is_answered_clearly() {
        let message = |event: Value| Request::read(&event, &config("3")).unwrap_err().to_string();
        assert_eq!(
            message(json!({"lane": 3})),
            "the event asks for lane 3: expected one of 0 to 2"
        );
        assert_eq!(
            message(json!({"limit": 0})),
            "the event's limit is 0: expected 1 to 5000"
        );
        assert_eq!(
            message(json!({"output": "files"})),
            "the event's output is \"files\": expected \"objects\" or \"bundles\""
        );
        for event in [
            json!([]),
            json!("all"),
            json!({"lanes": 1}),
            json!({"limit": "5"}),
            json!({"lane": -1}),
        ] {
            let message = message(event);
            assert!(
                message.contains("expected an event of a schedule"),
                "{message}"
            );
        }
    }
}
