//! What tests rely on: a broker that answers, keeps its port and its data over a kill, loses them when wiped, and leaves nothing.

use std::net::TcpStream;

use super::{KafkaOptions, ScratchKafka, ScratchKafkaError, broker};

/// Whether somebody listens where clients connect.
fn answers(kafka: &ScratchKafka) -> bool {
    TcpStream::connect(kafka.bootstrap()).is_ok()
}

#[test]
fn a_broker_comes_back_where_it_was_and_leaves_nothing() {
    let kafka = ScratchKafka::start().expect("a broker");
    let address = kafka.bootstrap();
    let cluster = kafka.own.as_ref().expect("our own");
    let folder = cluster.folder().to_owned();
    assert!(answers(&kafka));

    kafka.kill(1).expect("killed");
    assert!(!answers(&kafka));
    assert!(folder.join("broker-1").is_dir());
    kafka.start_again(1).expect("started again");
    assert!(answers(&kafka));
    kafka.wipe(1).expect("wiped");
    assert_eq!(kafka.bootstrap(), address);
    assert!(answers(&kafka));

    drop(kafka);
    assert!(!folder.exists());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_cannot_be_is_said() {
    let two = ScratchKafka::start_with(KafkaOptions { brokers: 2, ..KafkaOptions::default() });
    assert!(matches!(two, Err(ScratchKafkaError::Size(2))));
    let nobody = ScratchKafka::found("127.0.0.1:1".to_owned());
    assert!(matches!(nobody, Err(ScratchKafkaError::Unreachable { .. })));
    assert!(!broker::knows(1, &[1]));
}
