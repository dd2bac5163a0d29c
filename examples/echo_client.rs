//! Says hello once it is logged in, again after every reconnect, and prints what comes back.

use std::time::Duration;

use moorline::{Client, ClientConfig, ClientEvent, Lane};

const CHAT: u16 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ClientConfig::kcp_plaintext_unauthenticated("ann");
    let config = config.with_kind(CHAT, Lane::ReliableOrdered);
    let mut client = Client::connect("127.0.0.1:7777".parse()?, config)?;
    loop {
        match client.poll_for(Duration::from_secs(1)) {
            Some(ClientEvent::Welcome { .. }) => client.send_bytes(CHAT, 0, b"hello")?,
            Some(ClientEvent::Message(message)) => eprintln!("{:?}", message.payload),
            Some(ClientEvent::Session(event)) => eprintln!("{event}"),
            None => {}
        }
    }
}
