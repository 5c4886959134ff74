//! Nothing would ever come.

fn main() {
    let _: lwt::Promise<()> = lwt::pick! {};
}
