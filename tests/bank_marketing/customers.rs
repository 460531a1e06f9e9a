//! The customers of bank-full.csv, read as plainly as possible. Nothing in this file uses Usher.

/// A line of bank-full.csv; `None` is *not known*.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Customer<'t> {
    pub(crate) age: Option<i64>,
    pub(crate) job: Option<&'t str>,
    pub(crate) marital: Option<&'t str>,
    pub(crate) education: Option<&'t str>,
    pub(crate) in_default: Option<bool>,
    pub(crate) balance: Option<i64>,
    pub(crate) housing_loan: Option<bool>,
    pub(crate) personal_loan: Option<bool>,
    pub(crate) contact_type: Option<&'t str>,
    pub(crate) contact_day: Option<i64>,
    pub(crate) contact_month: Option<&'t str>,
    pub(crate) campaign_contacts: Option<i64>,
    pub(crate) days_since_contact: Option<i64>,
    pub(crate) previous_contacts: Option<i64>,
    pub(crate) last_outcome: Option<&'t str>,
}

/// Reads the file: fields with commas between them, no quotes, and a header that must be exactly the known
/// one.
pub(crate) fn read(csv: &str) -> Vec<Customer<'_>> {
    let mut lines = csv.lines();
    let header = "age,job,marital,education,default,balance,housing,loan,contact,day,month,duration,campaign,pdays,\
                  previous,poutcome,y";
    assert_eq!(lines.next(), Some(header), "bank-full.csv begins with its header");
    lines.map(customer).collect()
}

fn customer(line: &str) -> Customer<'_> {
    let cells: Vec<&str> = line.split(',').collect();
    let [
        age,
        job,
        marital,
        education,
        default,
        balance,
        housing,
        loan,
        contact,
        day,
        month,
        _,
        campaign,
        pdays,
        previous,
        outcome,
        _,
    ] = cells[..]
    else {
        panic!("not 17 cells: {line}")
    };
    let number = |cell: &str| Some(cell.parse().unwrap_or_else(|_| panic!("not a number: {cell}")));
    let yes_no = |cell: &str| match cell {
        "yes" => Some(true),
        "no" => Some(false),
        _ => panic!("neither yes nor no: {cell}"),
    };
    Customer {
        age: number(age),
        job: known(job).map(|job| match job {
            "admin." => "admin",
            "blue-collar" => "blue_collar",
            "self-employed" => "self_employed",
            job => job,
        }),
        marital: Some(marital),
        education: known(education),
        in_default: yes_no(default),
        balance: number(balance),
        housing_loan: yes_no(housing),
        personal_loan: yes_no(loan),
        contact_type: known(contact),
        contact_day: number(day),
        contact_month: Some(month),
        campaign_contacts: number(campaign),
        days_since_contact: if pdays == "-1" { None } else { number(pdays) },
        previous_contacts: number(previous),
        last_outcome: known(outcome),
    }
}

fn known(cell: &str) -> Option<&str> {
    if cell == "unknown" { None } else { Some(cell) }
}

impl<'t> Customer<'t> {
    /// The same customer with some features forgotten, one for each bit of `holes`, in the order of the
    /// fields.
    pub(crate) fn with_holes(&self, holes: u32) -> Customer<'t> {
        fn keep<T>(value: Option<T>, holes: u32, bit: u32) -> Option<T> {
            if holes >> bit & 1 == 1 { None } else { value }
        }
        Customer {
            age: keep(self.age, holes, 0),
            job: keep(self.job, holes, 1),
            marital: keep(self.marital, holes, 2),
            education: keep(self.education, holes, 3),
            in_default: keep(self.in_default, holes, 4),
            balance: keep(self.balance, holes, 5),
            housing_loan: keep(self.housing_loan, holes, 6),
            personal_loan: keep(self.personal_loan, holes, 7),
            contact_type: keep(self.contact_type, holes, 8),
            contact_day: keep(self.contact_day, holes, 9),
            contact_month: keep(self.contact_month, holes, 10),
            campaign_contacts: keep(self.campaign_contacts, holes, 11),
            days_since_contact: keep(self.days_since_contact, holes, 12),
            previous_contacts: keep(self.previous_contacts, holes, 13),
            last_outcome: keep(self.last_outcome, holes, 14),
        }
    }
}
