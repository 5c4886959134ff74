//! The two sides of a link on two threads of one process.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use super::segment::KEPT;
use super::*;

/// A link whose far side runs `far` on a thread, and the loop's bell.
fn pair(far: impl FnOnce(Far) + Send + 'static) -> (Near, Bell, thread::JoinHandle<()>) {
    let bell = Bell::new().expect("a bell");
    let (near, parts) = link(bell.fd()).expect("a link");
    let thread = thread::spawn(move || far(Far::new(parts).expect("the other side")));
    (near, bell, thread)
}

fn frame(kind: u8, id: u64) -> Frame {
    Frame { kind, id, extra: !id }
}

/// Sends back what comes, until a frame of kind 0.
fn echo(mut far: Far) {
    let mut buffer = Vec::new();
    loop {
        let (frame, bytes) = far.receive(&mut buffer).expect("a message");
        let bytes = bytes.to_vec();
        if frame.kind == 0 {
            return;
        }
        if bytes.len() > SHORT {
            let mut draft = far.draft().expect("a segment");
            draft.extend(&bytes).expect("memory");
            far.send(frame, Body::Long(draft)).expect("sent");
        } else {
            far.send(frame, Body::Short(&bytes)).expect("sent");
        }
    }
}

/// The next message, as a loop waits for it.
fn receive(near: &mut Near, bell: &Bell, buffer: &mut Vec<u8>) -> (Frame, Vec<u8>) {
    loop {
        near.link.flush().expect("sound");
        if let Some((frame, bytes)) = near.link.receive(buffer).expect("sound") {
            return (frame, bytes.to_vec());
        }
        if near.link.prepare_sleep().expect("sound") {
            let (_open, reader) = (&near._life, bell.fd());
            sys::sleep(bell, reader).expect("slept");
            bell.hush();
        }
        near.link.awake();
    }
}

fn send(near: &mut Near, frame: Frame, bytes: &[u8]) {
    if bytes.len() <= SHORT {
        return near.link.send(frame, Body::Short(bytes)).expect("sent");
    }
    let mut draft = near.link.draft().expect("memory").expect("a segment");
    for part in bytes.chunks(100_000) {
        draft.extend(part).expect("memory");
    }
    near.link.send(frame, Body::Long(draft)).expect("sent");
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + len) as u8).collect()
}

#[test]
fn messages_of_all_lengths_come_back_in_order() {
    let (mut near, bell, thread) = pair(echo);
    let lengths = [0, 1, 7, 8, 9, 64, 1000, SHORT - 1, SHORT, SHORT + 1, 300_000, 5_000_000, 3];
    let mut buffer = Vec::new();
    for round in 0..3 {
        for (id, len) in (round * 100..).zip(lengths) {
            send(&mut near, frame(3, id), &pattern(len));
        }
        for (id, len) in (round * 100..).zip(lengths) {
            assert_eq!(receive(&mut near, &bell, &mut buffer), (frame(3, id), pattern(len)));
        }
    }
    send(&mut near, frame(0, 0), &[]);
    thread.join().expect("the other side");
}

#[test]
fn more_than_fits_waits_its_turn() {
    let (mut near, bell, thread) = pair(echo);
    let mut buffer = Vec::new();
    let message = pattern(10_000);
    for id in 0..500 {
        send(&mut near, frame(1, id), &message);
    }
    for id in 0..500 {
        assert_eq!(receive(&mut near, &bell, &mut buffer).0, frame(1, id));
    }
    send(&mut near, frame(0, 0), &[]);
    thread.join().expect("the other side");
}

#[test]
fn the_end_of_the_program_ends_the_wait_of_the_worker() {
    let (near, _bell, thread) = pair(|mut far| {
        let mut buffer = Vec::new();
        assert!(matches!(far.receive(&mut buffer), Err(LinkError::Gone(Gone))));
    });
    thread::sleep(Duration::from_millis(5));
    drop(near);
    thread.join().expect("the other side");
}

#[test]
fn a_segment_stays_as_long_as_it_is_read() {
    let (mut near, bell, thread) = pair(echo);
    let mut buffer = Vec::new();
    let mut held = Vec::new();
    for id in 0..20 {
        send(&mut near, frame(1, id), &pattern(100_000 + id as usize));
        loop {
            near.link.flush().expect("sound");
            if let Some((got, Bytes::Long(segment))) = near.link.receive(&mut buffer).expect("sound") {
                assert_eq!(got.id, id);
                held.push(segment);
                break;
            }
            thread::yield_now();
        }
        bell.hush();
    }
    for (id, segment) in held.iter().enumerate() {
        assert!(**segment == pattern(100_000 + id));
    }
    drop(held);
    send(&mut near, frame(0, 0), &[]);
    thread.join().expect("the other side");
}

#[test]
fn a_job_is_begun_or_withdrawn_and_never_both() {
    let (near, _bell, thread) = pair(drop);
    thread.join().expect("the other side");
    let claims = near.link.claims();
    claims.offer(5);
    assert!(claims.begin(5) && !claims.begin(5));
    assert_eq!(claims.withdraw(5), Claimed::Begun);
    assert!(!claims.is_asked(5));
    claims.ask(5);
    assert!(claims.is_asked(5));
    claims.offer(5 + AHEAD as u64);
    assert!(!claims.begin(5) && !claims.is_asked(5));
    assert_eq!(claims.withdraw(5 + AHEAD as u64), Claimed::Withdrawn);
    assert!(!claims.begin(5 + AHEAD as u64));
}

#[test]
fn what_a_broken_side_writes_is_found_out() {
    let (mut near, _bell, thread) = pair(|far| {
        // A length that no ring has.
        far.link.out.scribble(u64::MAX);
    });
    thread.join().expect("the other side");
    assert!(matches!(near.link.receive(&mut Vec::new()), Err(LinkError::Broken(_))));
    let (mut near, bell, thread) = pair(|mut far| {
        let put = far.link.out.put(frame(1, 1), Some(200), &u64::MAX.to_ne_bytes());
        assert!(put.is_ok());
        far.link.theirs.ring();
    });
    thread.join().expect("the other side");
    assert!(sys::sleep(&bell, near._life.as_fd()).is_ok());
    assert!(matches!(near.link.receive(&mut Vec::new()), Err(LinkError::Broken(_))));
}

#[test]
fn room_that_cannot_be_is_not_used() {
    for first in [u64::MAX - 7, u64::MAX / 2, 1 << 20] {
        let (mut near, _bell, thread) = pair(move |far| far.link.into.scribble(first));
        thread.join().expect("the other side");
        let mut sent = Ok(());
        for id in 0..20 {
            sent = sent.and_then(|()| near.link.send(frame(1, id), Body::Short(&pattern(10_000))));
        }
        // A beginning that might be is believed: there is less room then, for the other side's loss.
        let may_be = first == u64::MAX - 7;
        assert!(if may_be { sent.is_ok() } else { matches!(sent, Err(LinkError::Broken(_))) }, "{first}");
    }
}

#[test]
fn two_drafts_have_two_segments() {
    let (mut near, bell, thread) = pair(echo);
    let mut drafts = [near.link.draft(), near.link.draft()].map(|draft| draft.expect("memory").expect("one"));
    for (id, draft) in (1..).zip(&mut drafts) {
        draft.extend(&pattern(100_000 * id)).expect("memory");
    }
    for (id, draft) in (1..).zip(drafts) {
        near.link.send(frame(1, id), Body::Long(draft)).expect("sent");
    }
    let mut buffer = Vec::new();
    for id in 1..3 {
        assert_eq!(receive(&mut near, &bell, &mut buffer), (frame(1, id), pattern(100_000 * id as usize)));
    }
    send(&mut near, frame(0, 0), &[]);
    thread.join().expect("the other side");
}

/// Both sides of a link, and its file.
fn sides() -> (Near, Far, File) {
    let (near, parts) = link(Bell::new().expect("a bell").fd()).expect("a link");
    let file = parts.file.try_clone().expect("a descriptor").into();
    (near, Far::new(parts).expect("the other side"), file)
}

/// How much memory a file has.
fn used(file: &File) -> usize {
    file.metadata().expect("a file").blocks() as usize * 512
}

/// Has the far side send so many bytes.
fn long(near: &mut Near, far: &mut Far, byte: u8, len: usize) -> Segment {
    let mut draft = far.draft().expect("memory");
    draft.fill(len, |bytes| bytes.fill(byte)).expect("memory");
    far.send(frame(1, 1), Body::Long(draft)).expect("sent");
    let Some((_, Bytes::Long(segment))) = near.link.receive(&mut Vec::new()).expect("sound") else {
        panic!("no segment")
    };
    assert!(segment.len() == len && segment.iter().all(|other| *other == byte));
    segment
}

#[test]
fn memory_is_kept_up_to_a_bound() {
    let (mut near, mut far, file) = sides();
    let used = || used(&file);
    drop(long(&mut near, &mut far, 1, KEPT / 2));
    let one = used();
    assert!(one >= KEPT / 2);
    drop(long(&mut near, &mut far, 2, KEPT / 2));
    assert_eq!(used(), one, "it was used again");
    // Several at a time, and one that is too long to be kept.
    for round in 0..3 {
        let many: Vec<_> = (0..5).map(|byte| long(&mut near, &mut far, round * 5 + byte, KEPT / 2)).collect();
        assert!(used() >= 5 * (KEPT / 2));
        assert!(many.iter().zip(round * 5..).all(|(held, byte)| held.iter().all(|other| *other == byte)));
        drop(many);
        assert!(used() < KEPT + (1 << 20));
        let longest = long(&mut near, &mut far, round, 3 * KEPT);
        assert!(used() >= 3 * KEPT);
        drop(longest);
        assert!(used() < KEPT + (1 << 20));
    }
    // What is dropped before it was sent.
    let before = used();
    let mut draft = near.link.draft().expect("memory").expect("a segment");
    draft.fill(3 * KEPT, |bytes| bytes.fill(1)).expect("memory");
    drop(draft);
    assert_eq!(used(), before);
}

#[test]
fn memory_that_was_given_back_is_reserved_anew() {
    let (mut near, mut far, file) = sides();
    drop(long(&mut near, &mut far, 1, 3 * KEPT));
    let before = used(&file);
    // Writing where there is none would be a signal, if the system had none left.
    let draft = far.draft().expect("memory");
    assert!(used(&file) > before);
    drop(draft);
    assert_eq!(used(&file), before);
}

#[test]
fn a_long_message_takes_little_more_than_its_length() {
    let (mut near, mut far, file) = sides();
    let used = || used(&file);
    let before = used();
    let segment = long(&mut near, &mut far, 1, 24 << 20);
    assert!(used() - before < 30 << 20);
    drop(segment);
    // Bit by bit.
    let mut draft = near.link.draft().expect("memory").expect("a segment");
    let part = pattern(10_000);
    for _ in 0..2000 {
        draft.extend(&part).expect("memory");
    }
    assert!(draft.bytes().chunks(part.len()).all(|other| other == part));
}
