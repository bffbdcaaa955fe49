//! The gateway from outside, against real peers: one program, so that it is linked once. A file is a group of stories, and `./test` runs
//! each in a process of its own, with a broker and a database of its own where it needs them.

mod adding_a_trigger;
mod ani;
mod ani_places;
mod bad_input;
mod baresip_audio;
mod big_shape;
mod broker_and_database_down;
mod browser;
mod callback_small;
mod chaos;
mod contract_messages;
mod crash;
mod crash_matrix;
mod disk_full;
mod email;
mod email_broker;
mod iif;
mod iif_servers;
mod iif_storm;
mod jasmin;
mod kamailio;
mod kannel;
mod locks;
mod metrics;
mod one_door;
mod outage;
mod queue_rabbit;
mod sigstop;
mod smpp;
mod sms_load;
mod sms_providers;
mod store_postgres;
mod store_trouble;
mod takeover;
