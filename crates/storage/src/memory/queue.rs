use std::sync::{Arc, Mutex, MutexGuard};

use crate::notices::MAX_MESSAGE_BYTES;
use crate::{ErrorKind, Notices, StorageError};

/// A queue in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryQueue {
    messages: Arc<Mutex<Vec<String>>>,
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything sent so far, oldest first.
    pub fn messages(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.messages
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Notices for MemoryQueue {
    async fn send(&self, message: &str) -> Result<(), StorageError> {
        if message.is_empty() || message.len() > MAX_MESSAGE_BYTES {
            return Err(StorageError::new(
                ErrorKind::Refused,
                "SendMessage",
                "memory queue",
                format!(
                    "a message has 1 to {MAX_MESSAGE_BYTES} bytes, this one has {}",
                    message.len()
                ),
            ));
        }
        self.lock().push(message.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_messages_in_order_and_refuses_what_the_queue_would() {
        let queue = MemoryQueue::new();
        queue.send("{\"a\":1}").await.unwrap();
        queue.send("{\"a\":2}").await.unwrap();
        assert_eq!(queue.clone().messages(), ["{\"a\":1}", "{\"a\":2}"]);

        for message in [String::new(), "x".repeat(MAX_MESSAGE_BYTES + 1)] {
            let error = queue.send(&message).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
        }
        assert_eq!(queue.messages().len(), 2);
    }
}
