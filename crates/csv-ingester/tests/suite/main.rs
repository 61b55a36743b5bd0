//! The integration tests of `csv-ingester`, in one program: each program of tests links everything once more.

mod promise_11_bad_input_gets_a_clear_answer;
mod promise_1_every_row_ends_somewhere;
mod promise_3_same_input_same_end_state;
mod promise_4_refused_inputs;
mod world;
