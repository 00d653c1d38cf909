//! The wire interface, generated from `proto/`: etcd's packages under etcd's names, and Synod's own.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]

/// Keys and values.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// etcd's services and messages.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// What only Synod has.
pub mod synod {
    /// Version 1 of it.
    pub mod v1 {
        tonic::include_proto!("synod.v1");
    }
}
