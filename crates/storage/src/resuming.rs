//! Reading an object to its end although its body stalls or breaks off.

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{ErrorKind, ObjectId, ObjectMeta, ObjectStore, StorageError};

/// When a reader opens an object again, and when it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePolicy {
    /// How long a reader waits for the next bytes before it opens the object again. Only waiting counts: a reader that is not
    /// polled, because its rows are not taken, is not stalled.
    pub stall: Duration,
    /// How many times in a row the object is opened again without a single new byte before the error is final.
    pub max_fruitless: u32,
    /// The pause before the first new try is a random part of this, before the second one of twice this, and so on.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// Seeds the pauses' randomness.
    pub seed: u64,
}

impl Default for ResumePolicy {
    /// 10 s of stall; 5 fruitless tries; pauses of up to 0.2 s, doubling up to 5 s.
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(10),
            max_fruitless: 5,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            seed: 0,
        }
    }
}

/// The bytes of `object` from byte `from` to its end, opened when the stream is first polled. See [`open_resuming`].
pub fn resuming<'a, P>(
    store: P,
    object: ObjectId,
    from: u64,
    policy: ResumePolicy,
) -> LocalBoxStream<'a, Result<Bytes, StorageError>>
where
    P: Deref<Target: ObjectStore> + 'a,
{
    Reader::new(store, object, from, policy).into_stream()
}

/// Opens `object` at byte `from` and says what it is. The stream gives every byte up to the object's size exactly once: when
/// the body stalls, fails or ends early, the same object is opened again at the byte reached. An object that was named
/// by neither version nor ETag is held to the ETag that it first had.
///
/// # Errors
/// Opening and reading fail at once with what is not transient (`Conflict`: the object was replaced meanwhile; `NotFound`;
/// `Denied`), and with the last error after [`ResumePolicy::max_fruitless`] fruitless tries.
pub async fn open_resuming<'a, P>(
    store: P,
    object: ObjectId,
    from: u64,
    policy: ResumePolicy,
) -> Result<(ObjectMeta, LocalBoxStream<'a, Result<Bytes, StorageError>>), StorageError>
where
    P: Deref<Target: ObjectStore> + 'a,
{
    let mut reader = Reader::new(store, object, from, policy);
    let meta = loop {
        match &reader.meta {
            Some(meta) => break meta.clone(),
            None => reader.open().await?,
        }
    };
    Ok((meta, reader.into_stream()))
}

struct Reader<P> {
    store: P,
    object: ObjectId,
    /// The next byte to deliver.
    position: u64,
    /// What the first answer said.
    meta: Option<ObjectMeta>,
    /// The body being read; absent when it has to be opened.
    content: Option<LocalBoxStream<'static, Result<Bytes, StorageError>>>,
    /// Tries in a row that brought no byte.
    fruitless: u32,
    policy: ResumePolicy,
    random: ChaCha8Rng,
}

impl<'a, P> Reader<P>
where
    P: Deref<Target: ObjectStore> + 'a,
{
    fn new(store: P, object: ObjectId, from: u64, policy: ResumePolicy) -> Self {
        Self {
            store,
            object,
            position: from,
            meta: None,
            content: None,
            fruitless: 0,
            policy,
            random: ChaCha8Rng::seed_from_u64(policy.seed),
        }
    }

    fn into_stream(self) -> LocalBoxStream<'a, Result<Bytes, StorageError>> {
        stream::try_unfold(self, |mut reader| async move {
            let chunk = reader.next_chunk().await?;
            Ok(chunk.map(|chunk| (chunk, reader)))
        })
        .boxed_local()
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        while !self.at_end() {
            let Some(content) = &mut self.content else {
                self.open().await?;
                continue;
            };
            match tokio::time::timeout(self.policy.stall, content.next()).await {
                Ok(Some(Ok(chunk))) if chunk.is_empty() => {}
                Ok(Some(Ok(chunk))) => return self.advance(chunk).map(Some),
                Ok(Some(Err(error))) => self.interrupted(error).await?,
                Ok(None) => {
                    self.interrupted(self.unanswered("the body ended early"))
                        .await?
                }
                Err(_) => {
                    self.interrupted(self.unanswered("the body stalled"))
                        .await?
                }
            }
        }
        Ok(None)
    }

    fn at_end(&self) -> bool {
        self.meta
            .as_ref()
            .is_some_and(|meta| self.position >= meta.size)
    }

    async fn open(&mut self) -> Result<(), StorageError> {
        let opened = match self.store.open(&self.object, self.position).await {
            Ok(opened) => opened,
            Err(error) => return self.interrupted(error).await,
        };
        match &self.meta {
            None => {
                if self.object.version.is_none() && self.object.etag.is_none() {
                    self.object.etag = Some(opened.meta.etag.clone());
                }
                self.meta = Some(opened.meta);
            }
            Some(meta) if (meta.size, &meta.etag) != (opened.meta.size, &opened.meta.etag) => {
                return Err(self.error(ErrorKind::Conflict, "the object changed while it was read"));
            }
            Some(_) => {}
        }
        self.content = Some(opened.content);
        Ok(())
    }

    fn advance(&mut self, chunk: Bytes) -> Result<Bytes, StorageError> {
        self.position += chunk.len() as u64;
        self.fruitless = 0;
        match &self.meta {
            Some(meta) if self.position > meta.size => {
                Err(self.error(ErrorKind::Internal, "the body is longer than the object"))
            }
            _ => Ok(chunk),
        }
    }

    /// Lets go of the body and waits for the next try, or gives up with `error`.
    async fn interrupted(&mut self, error: StorageError) -> Result<(), StorageError> {
        self.content = None;
        if !error.kind().is_transient() || self.fruitless >= self.policy.max_fruitless {
            return Err(error);
        }
        tracing::debug!(
            object = %self.object,
            position_bytes = self.position,
            %error,
            "Opening the object again where its body was interrupted"
        );
        let pause = self.pause();
        self.fruitless += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Full jitter: anything from nothing to the doubled-up limit.
    fn pause(&mut self) -> Duration {
        let limit = self
            .policy
            .first_pause
            .saturating_mul(2_u32.saturating_pow(self.fruitless))
            .min(self.policy.longest_pause);
        self.random.random_range(Duration::ZERO..=limit)
    }

    fn unanswered(&self, what: &str) -> StorageError {
        self.error(ErrorKind::Unanswered, what)
    }

    fn error(&self, kind: ErrorKind, what: &str) -> StorageError {
        StorageError::new(
            kind,
            "GetObject",
            self.object.to_string(),
            format!("{what} (at byte {})", self.position),
        )
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use tokio::time::Instant;

    use super::*;
    use crate::failing::{Failing, Fault, FaultPlan, Rates};
    use crate::memory::MemoryObjects;
    use crate::test_clock::tokio_now;

    const CHUNK: usize = 7;

    struct Fixture {
        store: Failing<MemoryObjects>,
        plan: FaultPlan,
        object: ObjectId,
        content: Vec<u8>,
    }

    fn fixture(bytes: usize) -> Fixture {
        let content: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let plan = FaultPlan::seeded(3);
        let memory = MemoryObjects::new()
            .with_bucket("inbox")
            .with_chunks_of(CHUNK);
        let object = memory.seed("inbox", "k.csv", content.clone(), &[]);
        Fixture {
            store: Failing::new(memory, plan.clone()),
            plan,
            object,
            content,
        }
    }

    impl Fixture {
        async fn read(&self, from: u64) -> Result<Vec<u8>, StorageError> {
            let policy = ResumePolicy::default();
            let chunks: Vec<Bytes> = resuming(&self.store, self.object.clone(), from, policy)
                .try_collect()
                .await?;
            Ok(chunks.concat())
        }

        fn unnamed(&self) -> ObjectId {
            ObjectId {
                etag: None,
                ..self.object.clone()
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_happens_to_the_body_every_byte_comes_once() {
        for after in [0, 1, 50, 99, 100] {
            for fault in [
                Fault::BodyError(after),
                Fault::BodyStall(after),
                Fault::BodyEnd(after),
            ] {
                let fixture = fixture(100);
                fixture.plan.inject("GetObject", 1, fault.clone());
                assert_eq!(fixture.read(0).await.unwrap(), fixture.content, "{fault:?}");
                // A body that breaks only after its last byte is complete.
                let opened = if after < 100 { 2 } else { 1 };
                assert_eq!(fixture.plan.count("GetObject"), opened, "{fault:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_random_breaks_are_survived() {
        let fixture = fixture(3_000_000);
        fixture.plan.at_random(
            "GetObject",
            Rates {
                body: 900,
                unanswered: 50,
                throttled: 50,
                ..Rates::default()
            },
        );
        let read = fixture.read(1_000_000).await.unwrap();
        assert!(read == fixture.content[1_000_000..]);
        assert!(fixture.plan.count("GetObject") > 5);
    }

    #[tokio::test(start_paused = true)]
    async fn fruitless_tries_are_bounded_and_progress_resets_them() {
        let fixture = fixture(100);
        for nth in 1..=6 {
            let fault = Fault::Fail(ErrorKind::Unanswered);
            fixture.plan.inject("GetObject", nth, fault);
        }
        let error = fixture.read(0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unanswered);
        assert_eq!(fixture.plan.count("GetObject"), 6);

        let progressing = self::fixture(100);
        for nth in 1..=20 {
            progressing.plan.inject("GetObject", nth, Fault::BodyEnd(3));
        }
        assert_eq!(progressing.read(0).await.unwrap(), progressing.content);
        assert_eq!(progressing.plan.count("GetObject"), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_for_bytes_counts_as_a_stall() {
        let fixture = fixture(5 * CHUNK);
        let mut stream = resuming(
            &fixture.store,
            fixture.object.clone(),
            0,
            ResumePolicy::default(),
        );
        let mut seen = Vec::new();
        while let Some(chunk) = stream.try_next().await.unwrap() {
            seen.extend_from_slice(&chunk);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(seen, fixture.content);
        assert_eq!(fixture.plan.count("GetObject"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_noticed_in_its_time() {
        let fixture = fixture(100);
        fixture.plan.inject("GetObject", 1, Fault::BodyStall(0));
        let begun: Instant = tokio_now();
        fixture.read(0).await.unwrap();
        let policy = ResumePolicy::default();
        let waited = tokio_now() - begun;
        assert!(waited >= policy.stall && waited <= policy.stall + policy.first_pause);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_replaced_while_it_is_read_is_a_conflict() {
        let fixture = fixture(100);
        fixture.plan.inject("GetObject", 1, Fault::BodyError(50));
        let (meta, mut stream) = open_resuming(
            &fixture.store,
            fixture.unnamed(),
            0,
            ResumePolicy::default(),
        )
        .await
        .unwrap();
        assert_eq!(
            (meta.size, Some(meta.etag)),
            (100, fixture.object.etag.clone())
        );
        stream.try_next().await.unwrap();
        fixture
            .store
            .inner()
            .seed("inbox", "k.csv", vec![0; 100], &[]);
        let error = loop {
            match stream.try_next().await {
                Ok(chunk) => assert!(chunk.is_some(), "the stream ended as if it were whole"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_transient_is_not_tried_again() {
        for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Conflict] {
            let fixture = fixture(100);
            fixture.plan.inject("GetObject", 1, Fault::Fail(kind));
            let opened = open_resuming(
                &fixture.store,
                fixture.unnamed(),
                0,
                ResumePolicy::default(),
            );
            assert_eq!(opened.await.err().map(|error| error.kind()), Some(kind));
            assert_eq!(fixture.plan.count("GetObject"), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reading_from_the_end_or_past_it_gives_nothing() {
        let fixture = fixture(100);
        for from in [100, 101, u64::MAX] {
            assert_eq!(fixture.read(from).await.unwrap(), b"");
        }
        assert_eq!(fixture.read(99).await.unwrap(), fixture.content[99..]);
    }
}
