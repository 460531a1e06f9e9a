//! What Unicode's CLDR (release 49) says of languages, scripts and regions: the languages of ISO 639-1 and
//! the main others, each with its likely script and region. `docs/reference/locales.md` has these tables.

use std::sync::LazyLock;

/// Each language with its likely script and region.
pub(super) const LIKELY: &str = "aa-Latn-ET ab-Cyrl-GE ae-Avst-IR af-Latn-ZA ak-Latn-GH am-Ethi-ET an-Latn-ES ar-Arab-EG as-Beng-IN \
     ast-Latn-ES av-Cyrl-RU ay-Latn-BO az-Latn-AZ ba-Cyrl-RU be-Cyrl-BY bg-Cyrl-BG bi-Latn-VU bm-Latn-ML \
     bn-Beng-BD bo-Tibt-CN br-Latn-FR bs-Latn-BA ca-Latn-ES ce-Cyrl-RU ceb-Latn-PH ch-Latn-GU chr-Cher-US \
     ckb-Arab-IQ co-Latn-FR cr-Cans-CA cs-Latn-CZ cu-Cyrl-RU cv-Cyrl-RU cy-Latn-GB da-Latn-DK de-Latn-DE \
     doi-Deva-IN dsb-Latn-DE dv-Thaa-MV dz-Tibt-BT ee-Latn-GH el-Grek-GR en-Latn-US eo-Latn-001 \
     es-Latn-ES et-Latn-EE eu-Latn-ES fa-Arab-IR ff-Latn-SN fi-Latn-FI fil-Latn-PH fj-Latn-FJ fo-Latn-FO \
     fr-Latn-FR fur-Latn-IT fy-Latn-NL ga-Latn-IE gd-Latn-GB gl-Latn-ES gn-Latn-PY gsw-Latn-CH gu-Gujr-IN \
     gv-Latn-IM ha-Latn-NG haw-Latn-US he-Hebr-IL hi-Deva-IN ho-Latn-PG hr-Latn-HR hsb-Latn-DE ht-Latn-HT \
     hu-Latn-HU hy-Armn-AM hz-Latn-NA ia-Latn-001 id-Latn-ID ie-Latn-EE ig-Latn-NG ii-Yiii-CN ik-Latn-US \
     io-Latn-001 is-Latn-IS it-Latn-IT iu-Cans-CA ja-Jpan-JP jv-Latn-ID ka-Geor-GE kab-Latn-DZ kg-Latn-CD \
     ki-Latn-KE kj-Latn-NA kk-Cyrl-KZ kl-Latn-GL km-Khmr-KH kn-Knda-IN ko-Kore-KR kok-Deva-IN kr-Latn-NG \
     ks-Arab-IN ku-Latn-TR kv-Cyrl-RU kw-Latn-GB ky-Cyrl-KG la-Latn-VA lb-Latn-LU lg-Latn-UG li-Latn-NL \
     ln-Latn-CD lo-Laoo-LA lt-Latn-LT lu-Latn-CD lv-Latn-LV mai-Deva-IN mg-Latn-MG mh-Latn-MH mi-Latn-NZ \
     mk-Cyrl-MK ml-Mlym-IN mn-Cyrl-MN mni-Beng-IN mr-Deva-IN ms-Latn-MY mt-Latn-MT my-Mymr-MM na-Latn-NR \
     nb-Latn-NO nd-Latn-ZW nds-Latn-DE ne-Deva-NP ng-Latn-NA nl-Latn-NL nn-Latn-NO nr-Latn-ZA nv-Latn-US \
     ny-Latn-MW oc-Latn-FR oj-Cans-CA om-Latn-ET or-Orya-IN os-Cyrl-GE pa-Guru-IN pi-Latn-GB pl-Latn-PL \
     ps-Arab-AF pt-Latn-BR qu-Latn-PE rm-Latn-CH rn-Latn-BI ro-Latn-RO ru-Cyrl-RU rw-Latn-RW sa-Deva-IN \
     sah-Cyrl-RU sat-Olck-IN sc-Latn-IT sd-Arab-PK se-Latn-NO sg-Latn-CF si-Sinh-LK sk-Latn-SK sl-Latn-SI \
     sm-Latn-WS sn-Latn-ZW so-Latn-SO sq-Latn-AL sr-Cyrl-RS ss-Latn-ZA st-Latn-ZA su-Latn-ID sv-Latn-SE \
     sw-Latn-TZ ta-Taml-IN te-Telu-IN tg-Cyrl-TJ th-Thai-TH ti-Ethi-ET tk-Latn-TM tn-Latn-ZA to-Latn-TO \
     tr-Latn-TR ts-Latn-ZA tt-Cyrl-RU ty-Latn-PF ug-Arab-CN uk-Cyrl-UA ur-Arab-PK uz-Latn-UZ ve-Latn-ZA \
     vi-Latn-VN vo-Latn-001 wa-Latn-BE wo-Latn-SN xh-Latn-ZA yi-Hebr-UA yo-Latn-NG yue-Hant-HK za-Latn-CN \
     zgh-Tfng-MA zh-Hans-CN zu-Latn-ZA";

/// Languages that are written in another script in a region.
pub(super) const BY_REGION: &str = "az-Arab-IQ az-Arab-IR az-Cyrl-RU ha-Arab-CM ha-Arab-SD kk-Arab-AF kk-Arab-CN kk-Arab-IR kk-Arab-MN \
     ku-Cyrl-AM ku-Cyrl-AZ ku-Cyrl-GE ku-Arab-IQ ku-Arab-IR ku-Arab-LB ku-Cyrl-TM ky-Arab-CN ky-Latn-TR \
     mn-Mong-CN ms-Arab-CC pa-Arab-PK pi-Deva-IN pi-Sinh-LK pi-Mymr-MM pi-Thai-TH sd-Deva-IN sr-Latn-ME \
     sr-Latn-RO sr-Latn-TR tg-Arab-PK ug-Cyrl-KZ ug-Cyrl-MN uz-Arab-AF uz-Cyrl-CN yue-Hans-CN zh-Hant-AU \
     zh-Hant-BN zh-Hant-GB zh-Hant-GF zh-Hant-HK zh-Hant-ID zh-Hant-MO zh-Hant-PA zh-Hant-PF zh-Hant-PH \
     zh-Hant-SR zh-Hant-TH zh-Hant-TW zh-Hant-US zh-Hant-VN";

/// Where a language is likely spoken if it is written in another script.
pub(super) const BY_SCRIPT: &str = "az-Arab-IR cu-Glag-BG en-Shaw-GB ff-Adlm-GN kk-Arab-CN ku-Arab-IQ ku-Cyrl-AM ku-Yezi-GE ky-Arab-CN \
     ky-Latn-TR mn-Mong-CN pa-Arab-PK pi-Deva-IN pi-Mymr-MM pi-Sinh-LK pi-Thai-TH sd-Deva-IN sd-Khoj-IN \
     sd-Sind-IN tg-Arab-PK ug-Cyrl-KZ uz-Arab-AF yue-Hans-CN zh-Bopo-TW zh-Hanb-TW zh-Hant-TW";

/// Codes that mean a language, each with the code that requests use for it.
pub(super) const ALIASES: &str = "aar aa abk ab adp dz afr af aka ak alb sq als sq amh am ara ar arb ar arg an arm hy asm as ava av \
     ave ae aym ay ayr ay aze az azj az bak ba bam bm baq eu bel be ben bn bis bi bod bo bos bs bre br \
     bul bg bur my cat ca ces cs cha ch che ce chi zh chu cu chv cv cls sa cmn zh cor kw cos co cre cr \
     cwd cr cym cy cze cs dan da deu de dgo doi div dv drh mn dut nl dzo dz ekk et ell el eng en epo eo \
     esk ik est et eus eu ewe ee fao fo fas fa fij fj fin fi fra fr fre fr fry fy fuc ff ful ff gaz om \
     geo ka ger de gla gd gle ga glg gl glv gv gom kok gre el grn gn gug gn guj gu hat ht hau ha heb he \
     her hz hin hi hmo ho hrv hr hun hu hye hy ibo ig ice is ido io iii ii ike iu iku iu ile ie in id ina \
     ia ind id ipk ik isl is ita it iw he jav jv ji yi jpn ja jw jv kal kl kan kn kas ks kat ka kau kr \
     kaz kk khk mn khm km kik ki kin rw kir ky kmr ku knc kr kng kg kom kv kon kg kor ko kpv kv kua kj \
     kur ku lao lo lat la lav lv lim li lin ln lit lt ltz lb lub lu lug lg lvs lv mac mk mah mh mal ml \
     mao mi mar mr may ms mkd mk mlg mg mlt mt mo ro mol ro mon mn mri mi msa ms mya my nau na nav nv nbl \
     nr nde nd ndo ng nep ne nld nl nno nn no nb nob nb nor nb npi ne nya ny oci oc ojg oj oji oj ori or \
     orm om ory or oss os pan pa pbu ps per fa pes fa pli pi plt mg pol pl por pt prp gu pus ps que qu \
     quz qu roh rm ron ro rum ro run rn rus ru sag sg san sa scc sr scr hr sin si slk sk slo sk slv sl \
     sme se smo sm sna sn snd sd som so sot st spa es sqi sq src sc srd sc srp sr ssw ss sun su swa sw \
     swe sv swh sw tah ty tam ta tat tt tel te tgk tg tgl fil tha th tib bo tir ti tl fil ton to tsn tn \
     tso ts tuk tk tur tr tw ak twi ak uig ug ukr uk urd ur uzb uz uzn uz ven ve vie vi vol vo wel cy wln \
     wa wol wo xho xh ydd yi yid yi yor yo zha za zho zh zsm ms zul zu zyb za";

/// English names of languages, each with the code.
pub(super) const NAMES: &str = "abkhazian ab afar aa afrikaans af akan ak albanian sq amharic am arabic ar aragonese an armenian hy \
     assamese as asturian ast avaric av avestan ae aymara ay azerbaijani az bambara bm bangla bn bashkir \
     ba basque eu belarusian be bislama bi bosnian bs breton br bulgarian bg burmese my cantonese yue \
     catalan ca cebuano ceb chamorro ch chechen ce cherokee chr chinese zh chuvash cv cornish kw corsican \
     co cree cr croatian hr czech cs danish da divehi dv dogri doi dutch nl dzongkha dz english en \
     esperanto eo estonian et ewe ee faroese fo fijian fj filipino fil finnish fi french fr friulian fur \
     fula ff galician gl ganda lg georgian ka german de greek el guarani gn gujarati gu hausa ha hawaiian \
     haw hebrew he herero hz hindi hi hungarian hu icelandic is ido io igbo ig indonesian id interlingua \
     ia interlingue ie inuktitut iu inupiaq ik irish ga italian it japanese ja javanese jv kabyle kab \
     kalaallisut kl kannada kn kanuri kr kashmiri ks kazakh kk khmer km kikuyu ki kinyarwanda rw komi kv \
     kongo kg konkani kok korean ko kuanyama kj kurdish ku kyrgyz ky lao lo latin la latvian lv \
     limburgish li lingala ln lithuanian lt luxembourgish lb macedonian mk maithili mai malagasy mg malay \
     ms malayalam ml maltese mt manipuri mni manx gv marathi mr marshallese mh mongolian mn nauru na \
     navajo nv ndonga ng nepali ne nyanja ny occitan oc odia or ojibwa oj oromo om ossetic os pali pi \
     pashto ps persian fa polish pl portuguese pt punjabi pa quechua qu romanian ro romansh rm rundi rn \
     russian ru samoan sm sango sg sanskrit sa santali sat sardinian sc serbian sr shona sn sindhi sd \
     sinhala si slovak sk slovenian sl somali so spanish es sundanese su swahili sw swati ss swedish sv \
     tahitian ty tajik tg tamil ta tatar tt telugu te thai th tibetan bo tigrinya ti tongan to tsonga ts \
     tswana tn turkish tr turkmen tk ukrainian uk urdu ur uyghur ug uzbek uz venda ve vietnamese vi \
     walloon wa welsh cy wolof wo xhosa xh yakut sah yiddish yi yoruba yo zhuang za zulu zu";

/// Codes of languages.
pub(super) const LANGUAGES: &str = "aa ab ace ach ada ady ae aeb af afh agq ain ak akk akz ale aln alt am an ang ann anp apw ar arc arn \
     aro arp arq ars arw ary arz as asa ase ast atj av avk awa ay az ba bal ban bar bas bax bbc bbj be \
     bej bem bew bez bfd bfq bg bgc bgn bho bi bik bin bjn bkm bla blo blt bm bn bo bpy bqi br bra brh \
     brx bs bss bua bug bum byn byv ca cad car cay cch ccp ce ceb cgg ch chb chg chk chm chn cho chp chr \
     chy cic ckb clc co cop cps cr crg crh crj crk crl crm crr crs cs csb csw cu cv cy da dak dar dav de \
     del den dgr din dje doi dsb dtp dua dum dv dyo dyu dz dzg ebu ee efi egl egy eka el elx en enm eo es \
     esu et eu ewo ext fa fan fat ff fi fil fit fj fo fon fr frc frm fro frp frr frs fur fy ga gaa gag \
     gan gay gba gbz gd gez gil gl glk gmh gn goh gon gor got grb grc gsw gu guc gur guz gv gwi ha hai \
     hak haw hax he hi hif hil hit hmn hnj ho hr hsb hsn ht hu hup hur hy hz ia iba ibb id ie ig ii ik \
     ikt ilo inh io is it iu izh ja jam jbo jgo jmc jpr jrb jut jv ka kaa kab kac kaj kam kaw kbd kbl kcg \
     kde kea kek ken kfo kg kgp kha kho khq khw ki kiu kj kk kkj kl kln km kmb kn ko koi kok kos kpe kr \
     krc kri krj krl kru ks ksb ksf ksh ku kum kut kv kw kwk kxv ky la lad lag lah lam lb lez lfn lg li \
     lij lil liv lkt lld lmo ln lo lol lou loz lrc lsm lt ltg lu lua lui lun luo lus luy lv lzh lzz mad \
     maf mag mai mak man mas mde mdf mdr men mer mfe mg mga mgh mgo mh mi mic mid min mk ml mn mnc mni \
     moe moh mos mr mrj ms mt mua mus mwl mwr mwv my mye myv mzn na nan nap naq nb nd nds ne new ng nia \
     niu njo nl nmg nn nnh nnp no nog non nov nqo nr nso nus nv nwc ny nym nyn nyo nzi oc oj ojb ojc ojs \
     ojw oka om or os osa ota pa pag pal pam pap pau pcd pcm pdc pdt peo pfl phn pi pis pl pms pnt pon \
     pqm prg pro ps pt qu quc qug raj rap rar rej rgn rhg rif rm rn ro rof rom rtm ru rue rug rup rw rwk \
     sa sad sah sam saq sas sat saz sba sbp sc scn sco sd sdc sdh se see seh sei sel ses sg sga sgs sh \
     shi shn shu si sid sjd sje sju sk sl slh sli sly sm sma smj smn sms sn snk so sog sq sr srn srr ss \
     ssy st stq str su suk sus sux sv sw swb syc syr szl ta tce tcy te tem teo ter tet tg tgx th tht ti \
     tig tiv tk tkl tkr tl tlh tli tly tmh tn to tog tok tpi tr tru trv trw ts tsd tsi tt ttm ttt tum tvl \
     tw twq ty tyv tzm udm ug uga uk umb ur uz vai ve vec vep vi vls vmf vmw vo vot vro vun wa wae wal \
     war was wbp wo wuu xal xh xmf xnr xog yao yap yav ybb yi yo yrl yue za zap zbl zea zen zgh zh zu zun \
     zza";

/// Codes of scripts.
pub(super) const SCRIPTS: &str = "Adlm Afak Aghb Ahom Arab Aran Armi Armn Avst Bali Bamu Bass Batk Beng Berf Bhks Blis Bopo Brah Brai \
     Bugi Buhd Cakm Cans Cari Cham Cher Chrs Cirt Copt Cpmn Cprt Cyrl Cyrs Deva Diak Dogr Dsrt Dupl Egyd \
     Egyh Egyp Elba Elym Ethi Gara Geok Geor Glag Gong Gonm Goth Gran Grek Gujr Gukh Guru Hanb Hang Hani \
     Hano Hans Hant Hatr Hebr Hira Hluw Hmng Hmnp Hrkt Hung Inds Ital Jamo Java Jpan Jurc Kali Kana Kawi \
     Khar Khmr Khoj Kits Knda Kore Kpel Krai Kthi Lana Laoo Latf Latg Latn Lepc Limb Lina Linb Lisu Loma \
     Lyci Lydi Mahj Maka Mand Mani Marc Maya Medf Mend Merc Mero Mlym Modi Mong Moon Mroo Mtei Mult Mymr \
     Nagm Nand Narb Nbat Newa Nkgb Nkoo Nshu Ogam Olck Onao Orkh Orya Osge Osma Ougr Palm Pauc Pcun Perm \
     Phag Phli Phlp Phlv Phnx Plrd Prti Qaag Rjng Rohg Roro Runr Samr Sara Sarb Saur Seal Sgnw Shaw Shrd \
     Sidd Sidt Sind Sinh Sogd Sogo Sora Soyo Sund Sunu Sylo Syrc Syre Syrj Syrn Tagb Takr Tale Talu Taml \
     Tang Tavt Tayo Telu Teng Tfng Tglg Thaa Thai Tibt Tirh Tnsa Todr Tols Toto Tutg Ugar Vaii Visp Vith \
     Wara Wcho Wole Xpeo Xsux Yezi Yiii Zanb";

/// Codes of regions.
pub(super) const REGIONS: &str = "AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
     BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CP CQ CR CU CV CW CX CY CZ DE DG DJ DK DM DO DZ \
     EA EC EE EG EH ER ES ET EU FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW \
     GY HK HM HN HR HT HU IC ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ \
     LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY \
     MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU \
     RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA TC TD TF TG TH TJ TK TL TM TN \
     TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW 001 002 003 005 009 \
     011 013 014 015 017 018 019 021 029 030 034 035 039 053 054 057 061 142 143 145 150 151 154 155 202 \
     419";

/// Languages by a key, sorted by it.
type Table<T> = Vec<(T, Subtags)>;

/// The tables above, sorted.
pub(super) static CLDR: LazyLock<Cldr> = LazyLock::new(Cldr::new);

/// The main parts of a tag, each as its bytes in lower case; 0 if it is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subtags {
    pub(super) language: u32,
    pub(super) script: u32,
    pub(super) region: u32,
}

/// Up to four letters or digits as one number.
pub(super) fn packed(text: &str) -> u32 {
    text.bytes().fold(0, |packed, byte| packed << 8 | u32::from(byte.to_ascii_lowercase()))
}

/// What is likely of a language.
pub(super) struct Cldr {
    likely: Table<u32>,
    by_region: Table<(u32, u32)>,
    by_script: Table<(u32, u32)>,
    aliases: Vec<(u32, u32)>,
}

impl Cldr {
    fn new() -> Cldr {
        let read = |tags: &str| -> Vec<Subtags> {
            let tags = tags.split(' ').map(|tag| tag.split('-').map(packed));
            let tags = tags.map(|mut parts| {
                let mut part = || parts.next().unwrap_or_default();
                Subtags { language: part(), script: part(), region: part() }
            });
            tags.collect()
        };
        let mut likely: Table<u32> = read(LIKELY).into_iter().map(|of| (of.language, of)).collect();
        let mut by_region: Table<_> =
            read(BY_REGION).into_iter().map(|of| ((of.language, of.region), of)).collect();
        let mut by_script: Table<_> =
            read(BY_SCRIPT).into_iter().map(|of| ((of.language, of.script), of)).collect();
        let mut aliases: Vec<_> = pairs(ALIASES).map(|(alias, code)| (packed(alias), packed(code))).collect();
        likely.sort_unstable();
        by_region.sort_unstable();
        by_script.sort_unstable();
        aliases.sort_unstable();
        Cldr { likely, by_region, by_script, aliases }
    }

    /// The code that requests use for a language.
    pub(super) fn usual(&self, language: u32) -> u32 {
        found(&self.aliases, &language).unwrap_or(language)
    }

    /// The same parts, with the likely script and region where they are not given.
    pub(super) fn filled(&self, given: Subtags) -> Subtags {
        let Subtags { language, script, region } = given;
        let Some(likely) = found(&self.likely, &language) else { return given };
        match (script, region) {
            (0, 0) => likely,
            (0, _) => {
                let of = found(&self.by_region, &(language, region)).unwrap_or(likely);
                Subtags { script: of.script, ..given }
            }
            (_, 0) => {
                let of = found(&self.by_script, &(language, script)).unwrap_or(likely);
                Subtags { region: of.region, ..given }
            }
            _ => given,
        }
    }
}

fn found<K: Ord, V: Copy>(table: &[(K, V)], key: &K) -> Option<V> {
    table.binary_search_by(|(other, _)| other.cmp(key)).ok().map(|at| table[at].1)
}

/// The pairs of a table that lists one thing after the other.
pub(super) fn pairs(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut words = table.split(' ');
    std::iter::from_fn(move || Some((words.next()?, words.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_the_same_tables() {
        let page = include_str!("../../../docs/reference/locales.md");
        let mut blocks = page.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
        for (name, table) in [("LIKELY", LIKELY), ("BY_REGION", BY_REGION), ("BY_SCRIPT", BY_SCRIPT)] {
            let words: Vec<&str> = blocks.next().unwrap().split_whitespace().collect();
            assert_eq!(words, table.split(' ').collect::<Vec<_>>(), "{name}");
        }
    }
}
