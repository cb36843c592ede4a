//! Whatever a peer sends: nothing panics, and what is written can be read.

use proptest::prelude::*;

use super::backend::{
    read_backend_key_data, read_command_complete, read_data_row, read_negotiate_protocol_version,
    read_parameter_status, read_ready_for_query,
};
use super::frontend::{self, Bind, Named, Parse};
use super::{ErrorFields, frame, startup};

/// Bytes of which many are zero, so that strings end.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(b'S'), any::<u8>()], 0..64)
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1_u8.., 0..32)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(body in body()) {
        let _ = frame::header(&body);
        let _ = startup::Startup::read(&body);
        let _ = frontend::query_text(&body);
        let _ = frontend::read_execute(&body);
        let _ = frontend::read_password(&body);
        let _ = frontend::read_sasl_initial(&body);
        let _ = (Parse::read(&body), Bind::read(&body), Named::read(&body));
        let _ = read_backend_key_data(&body);
        let _ = read_command_complete(&body);
        let _ = read_data_row(&body);
        let _ = read_negotiate_protocol_version(&body);
        let _ = read_parameter_status(&body);
        let _ = read_ready_for_query(&body);
        let fields = ErrorFields(&body);
        let _ = (fields.code(), fields.routine(), fields.message(), fields.is_fatal());
    }

    #[test]
    fn a_header_says_the_same_of_a_part_as_of_the_whole(body in body(), tag: u8, cut in 0_usize..80) {
        let mut whole = Vec::new();
        frame::write(&mut whole, tag, |out| out.extend_from_slice(&body));
        let header = frame::header(&whole).unwrap().unwrap();
        prop_assert_eq!((header.tag, header.size), (tag, whole.len()));
        match frame::header(&whole[..cut.min(whole.len())]).unwrap() {
            None => prop_assert!(cut < frame::HEADER_LEN),
            Some(part) => prop_assert_eq!((part.tag, part.size), (tag, whole.len())),
        }
    }

    #[test]
    fn what_is_written_can_be_read(name in text(), query in text()) {
        let mut out = Vec::new();
        frontend::parse(&mut out, &name, &query, &[0, 0]);
        let parse = Parse::read(frontend::body(&out)).unwrap();
        prop_assert_eq!((parse.name, parse.query, parse.types), (&name[..], &query[..], &[0, 0][..]));
        out.clear();
        frontend::query(&mut out, &query);
        prop_assert_eq!(frontend::query_text(frontend::body(&out)).unwrap(), &query[..]);
    }
}
