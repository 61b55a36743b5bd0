//! Promise 4: what would make memory grow with the input is refused.

use crate::world::{TABLE, World, notification, run_paused};
use csv_ingester::Outcome;

#[test]
fn promise_4_a_zstd_window_over_8_mb_is_refused_and_one_of_8_mb_is_not() {
    run_paused(async {
        for (window_log, outcome) in [(23, Outcome::Completed), (24, Outcome::Failed)] {
            let world = World::new(50_000);
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("memory");
            encoder
                .window_log(window_log)
                .expect("a window that zstd knows");
            std::io::Write::write_all(&mut encoder, b"id,seq\na,1\n").expect("memory");
            let object = world.upload(encoder.finish().expect("memory"));
            let report = world.invoke_well(&notification(&object, "1")).await;
            assert_eq!(
                report.objects[0].outcome, outcome,
                "window of 2^{window_log}: {report:?}"
            );
        }
    });
}

#[test]
fn promise_4_a_record_over_2_mib_is_a_reject_and_reading_goes_on_at_the_next_line() {
    run_paused(async {
        let world = World::new(50_000);
        let file = format!(
            "id,seq,v\na,1,x\nb,2,\"{}\"\nc,3,z\n",
            "y".repeat(3 * 1024 * 1024)
        );
        let object = world.upload(file);
        let report = world.invoke_well(&notification(&object, "1")).await;
        let counts = report.objects[0].counts;
        assert_eq!((counts.read, counts.written, counts.rejected), (3, 2, 1));
        let reject = &world.lines("unprocessed/")[0];
        assert_eq!(reject["line"], 3);
        assert!(
            reject["reason"]
                .as_str()
                .expect("a reason")
                .contains("2097152"),
            "{reject}"
        );
        assert!(reject["row_bytes"].as_u64().expect("cut") > 3 * 1024 * 1024);
        assert_eq!(world.tables.inner().scan(TABLE).len(), 2);
    });
}
