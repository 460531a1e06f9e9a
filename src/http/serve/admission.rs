//! Who may connect: bounds over all connections and for each address. A few places beyond them are for health
//! checks, so that a full server can still be asked how it is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::descriptors::Allowed;
use crate::http::bounds::MAX_SPARE_PER_ADDRESS;

/// The places of all connections.
pub(crate) struct Admission {
    allowed: Allowed,
    most_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Ordinary and spare places that are taken.
    taken: [usize; 2],
    /// The same for each address that has any.
    by_address: HashMap<IpAddr, [usize; 2]>,
}

/// The kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// For any request.
    Ordinary,
    /// For one request that asks how the server is.
    Spare,
}

/// The place of one connection, given back on drop.
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    pub(crate) seat: Seat,
}

impl Admission {
    /// Places for the connections that are allowed. One address may have `most_per_address` ordinary ones.
    pub(crate) fn new(allowed: Allowed, most_per_address: usize) -> Arc<Admission> {
        Arc::new(Admission { allowed, most_per_address, counts: Mutex::default() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `address`: an ordinary one, or else a spare one; `None` without either.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = counted(address);
        let mut counts = self.counts();
        let Counts { taken, by_address } = &mut *counts;
        let own = by_address.get(&address).copied().unwrap_or_default();
        let bounds =
            [(self.allowed.ordinary, self.most_per_address), (self.allowed.spare, MAX_SPARE_PER_ADDRESS)];
        let free = |seat: &Seat| {
            let (all, each) = bounds[*seat as usize];
            taken[*seat as usize] < all && own[*seat as usize] < each
        };
        let seat = [Seat::Ordinary, Seat::Spare].into_iter().find(free)?;
        taken[seat as usize] += 1;
        by_address.entry(address).or_default()[seat as usize] += 1;
        drop(counts);
        Some(Place { admission: Arc::clone(self), address, seat })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        let seat = self.seat as usize;
        counts.taken[seat] -= 1;
        if let Some(own) = counts.by_address.get_mut(&self.address) {
            own[seat] -= 1;
            if *own == [0, 0] {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// The address under which a client is counted. A network of IPv6 has as many addresses as it likes, so its
/// first 64 bits count.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seat(place: &Option<Place>) -> Option<Seat> {
        place.as_ref().map(|place| place.seat)
    }

    #[test]
    fn an_address_has_its_bound_and_leaves_room_for_others_and_for_health_checks() {
        let admission = Admission::new(Allowed { ordinary: 5, spare: 20 }, 3);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let mut places: Vec<_> = (0..3).map(|_| admission.admit(one)).collect();
        assert!(places.iter().all(|place| seat(place) == Some(Seat::Ordinary)));
        places.push(admission.admit(one));
        assert_eq!(seat(&places[3]), Some(Seat::Spare), "over the bound of its address");
        places.extend((0..2).map(|_| admission.admit(other)));
        assert_eq!(seat(&places[5]), Some(Seat::Ordinary));
        places.push(admission.admit(other));
        assert_eq!(seat(&places[6]), Some(Seat::Spare), "over the bound of all");
        places.extend((1..MAX_SPARE_PER_ADDRESS).map(|_| admission.admit(one)));
        assert_eq!(seat(&admission.admit(one)), None);
        assert_eq!(seat(&admission.admit(other)), Some(Seat::Spare), "given back at once");
        drop(places);
        assert_eq!(seat(&admission.admit(one)), Some(Seat::Ordinary));
        assert!(admission.counts().by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_mapped_addresses_as_what_they_map() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(counted(address(one)) == counted(address(other)), same, "{one} and {other}");
        }
    }
}
