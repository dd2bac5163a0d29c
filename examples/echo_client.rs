//! Says hello once it is logged in, again after every reconnect, and prints what comes back.

use std::time::Duration;

use moorline::{Client, ClientConfig, ClientEvent, Lane, host_key};

const CHAT: u16 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = host_key::load_public("host.key.pub".as_ref())?;
    let config = ClientConfig::native("ann", host).with_kind(CHAT, Lane::ReliableOrdered);
    let mut client = Client::connect("127.0.0.1:7777".parse()?, config)?;
    loop {
        match client.poll_for(Duration::from_secs(1)) {
            Some(ClientEvent::Welcome { .. }) => client.send_bytes(CHAT, 0, b"hello")?,
            Some(ClientEvent::Message(message)) => eprintln!("{:?}", message.payload),
            Some(ClientEvent::Session(event)) => eprintln!("{event}"),
            _ => {}
        }
    }
}
