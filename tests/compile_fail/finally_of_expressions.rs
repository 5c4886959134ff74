//! Both are blocks, so that one sees where they begin and end.

fn main() {
    let _ = lwt::spawn(async { lwt::finally!(lwt::Promise::ready(1).await => println!("done")) });
}
