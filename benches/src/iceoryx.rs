//! The sides of `iceoryx2`: lines from publishers to one subscriber, which looks again and again for the next
//! sample, as in that library's own benchmarks; to be told of it would cost more than a message.
//!
//! A publisher waits while the subscriber has no room, but not for one that is not there yet: what does not
//! fit is lost then. So both ends wait for each other before they begin.

use std::fmt::Debug;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe;

use crate::process::until;

/// One process' access to a line. It is made in the process that uses it, after the fork.
#[derive(Debug)]
pub struct Line<T: Debug + ZeroCopySend + 'static> {
    service: publish_subscribe::PortFactory<ipc::Service, T, ()>,
    publishers: usize,
    _node: Node<ipc::Service>,
}

fn failed(error: impl Debug) -> String {
    format!("{error:?}")
}

impl<T: Debug + ZeroCopySend + 'static> Line<T> {
    /// The line of this name, with so many publishers, each of which may be so many samples ahead.
    pub fn open(name: &str, publishers: usize, ahead: usize) -> Result<Line<T>, String> {
        set_log_level(LogLevel::Fatal);
        let node = NodeBuilder::new().create::<ipc::Service>().map_err(failed)?;
        let service = node
            .service_builder(&name.try_into().map_err(failed)?)
            .publish_subscribe::<T>()
            .max_publishers(publishers)
            .max_subscribers(1)
            .subscriber_max_buffer_size(ahead)
            .enable_safe_overflow(false)
            .open_or_create()
            .map_err(failed)?;
        Ok(Line { service, publishers, _node: node })
    }

    /// A publisher, when the subscriber is there.
    pub fn publisher(&self) -> Result<Publisher<ipc::Service, T, ()>, String> {
        let publisher = self.service.publisher_builder().create().map_err(failed)?;
        until(|| self.service.dynamic_config().number_of_subscribers() == 1);
        Ok(publisher)
    }

    /// The subscriber, when it is connected with all publishers.
    pub fn subscriber(&self) -> Result<Subscriber<ipc::Service, T, ()>, String> {
        let subscriber = self.service.subscriber_builder().create().map_err(failed)?;
        until(|| self.service.dynamic_config().number_of_publishers() == self.publishers);
        subscriber.update_connections().map_err(failed)?;
        Ok(subscriber)
    }
}
