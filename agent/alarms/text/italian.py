"""What operators read, in Italian: one table. Words of other programs stay as they are."""

from __future__ import annotations

from agent.alarms.catalogue import Cause
from agent.alarms.text.language import AlarmText, Fact, Language

ITALIAN = Language(
    alarms={
        Cause.CAMERA_LOST: AlarmText(
            "Telecamera persa",
            "La telecamera {camera} non fornisce immagini ({detail}): controllare "
            "alimentazione, cavo e rete; i suoi frutti non vengono letti.",
        ),
        Cause.CAMERA_FROZEN: AlarmText(
            "Telecamera bloccata",
            "La telecamera {camera} invia sempre la stessa immagine: riavviare la telecamera; "
            "fino ad allora le sue letture non valgono nulla.",
        ),
        Cause.NO_READ_RATE: AlarmText(
            "Molti frutti senza lettura",
            "Su {camera} {value} degli ultimi {window} frutti è senza angolo (limite {limit}): "
            "controllare se lampada e obiettivo sono sporchi e come stanno i frutti nelle "
            "coppette.",
        ),
        Cause.BACKGROUND_RELIANCE: AlarmText(
            "Il modello guarda lo sfondo",
            "Su {camera} {value} di ciò che decide la sutura sta nello sfondo (limite {limit}, "
            "media di {window} spiegazioni): controllare a mano i frutti tagliati, cercare "
            "segni o luci nelle coppette e chiamare il tecnico della visione.",
        ),
        Cause.FOREGROUND_INSENSITIVE: AlarmText(
            "Il modello non guarda la sutura",
            "Su {camera} nascondere la sutura cambia la risposta del modello di appena {value} "
            "(limite {limit}, media di {window} spiegazioni): controllare a mano i frutti "
            "tagliati e chiamare il tecnico della visione.",
        ),
        Cause.EXPLANATION_DRIFT: AlarmText(
            "Il modello guarda il frutto in modo diverso",
            "Su {camera} il modello usa l'immagine in modo diverso da quando è stato messo in "
            "servizio ({detail}, su {window} spiegazioni): confrontare lotto e varietà con "
            "quanto annunciato e chiamare il tecnico della visione.",
        ),
        Cause.SEGMENTATION_DEGRADED: AlarmText(
            "Il modello vede peggio la sutura",
            "Su {camera} il modello vede i frutti peggio di quando è stato messo in servizio "
            "({detail}, su {window} frutti): controllare varietà, lampada e obiettivo, e "
            "tagliare i frutti a mano finché la causa non è chiara.",
        ),
        Cause.IMAGE_QUALITY: AlarmText(
            "Le immagini non sono come dovrebbero",
            "Su {camera} le immagini sono cambiate ({detail}, su {window} frutti): controllare "
            "lampada, obiettivo e messa a fuoco, e se la telecamera è stata spostata; controllare "
            "i frutti tagliati.",
        ),
        Cause.AGENT_NO_DATA: AlarmText(
            "Niente su cui giudicare",
            "Su {camera} manca di che giudicare ({detail}): nessuno sorveglia il modello; "
            "controllare a mano i frutti tagliati finché non torna, e chiamare i sistemi "
            "informatici se la macchina è in marcia.",
        ),
        Cause.WORKERS_DEGRADED: AlarmText(
            "Spiegazioni ridotte",
            "Su {camera} {detail}: le letture continuano, ma se ne spiegano meno o nessuna; "
            "chiamare i sistemi informatici.",
        ),
        Cause.LATENCY_BUDGET: AlarmText(
            "Letture in ritardo",
            "Su {camera} il 5 % delle ultime {window} letture ha richiesto più di {value} "
            "(limite {limit}): i frutti possono essere tagliati prima che l'angolo sia noto; "
            "chiamare i sistemi informatici per il carico di questo computer.",
        ),
        Cause.BROKER_SESSION_CONFLICT: AlarmText(
            "Due client con lo stesso nome",
            "Un altro client MQTT ha preso la sessione di {camera} ({detail}): dare a ogni "
            "agente un client id proprio; fino ad allora possono mancare valori di entrambi.",
        ),
        Cause.SPOOL_LOSS: AlarmText(
            "Messaggi non al sicuro",
            "Su {camera} {detail}: nello SCADA possono mancare allarmi di un'interruzione o di "
            "prima di un riavvio; chiamare i sistemi informatici per controllare il disco "
            "della cartella di stato.",
        ),
        Cause.MODEL_MISMATCH: AlarmText(
            "Spiegato un modello diverso da quello che legge",
            "Su {camera} {detail}: nessuno controlla che cosa guarda il modello in uso; chiamare "
            "il tecnico della visione.",
        ),
    },
    facts={
        Fact.CAMERA_STATE: "{state}: {cause}",
        Fact.SIGNAL: "{signal} {value}, di solito da {low} a {high}",
        Fact.UNREADABLE: "{share} di esse non si può leggere",
        Fact.DARK: "{share} di esse: livello di grigio {level}, con la luce {usual}",
        Fact.ONLY_DARK: "soltanto immagini buie da {seconds} s",
        Fact.UNREAD: (
            "{share} dei frutti è senza angolo, benché le loro immagini siano come di solito"
        ),
        Fact.OTHER_FRUIT: "{signal} {value}, di solito da {low} a {high}",
        Fact.READ_ELSEWHERE: "{share} della risposta resta quando la sutura è nascosta",
        Fact.NO_FRUIT: "nessun frutto da {seconds} s",
        Fact.NO_EXPLANATION: "nessuna spiegazione della sutura da {seconds} s",
        Fact.NO_EXPLANATION_BECAUSE: ("nessuna spiegazione della sutura da {seconds} s ({reason})"),
        Fact.WORKERS_SHORT: "solo {ready} processi su {workers} possono spiegare",
        Fact.WORKERS_SHORT_BECAUSE: (
            "solo {ready} processi su {workers} possono spiegare ({reason})"
        ),
        Fact.EXPLAINING_OFF: ("le spiegazioni sono spente dopo troppi processi falliti ({reason})"),
        Fact.SESSION_TAKEN: "il broker ha chiuso la nostra per questo",
        Fact.DISK_UNREACHED: "nulla arriva al disco ({reason})",
        Fact.DISK_HANGS: "il disco non risponde",
        Fact.MODELS_DIFFER: "{live} legge i frutti e viene spiegato {explained}",
    },
    findings={
        Fact.DARK: (
            "Su {camera} le immagini sono diventate buie ({detail}, su {window} coppette), troppo "
            "per leggere i frutti: controllare la lampada e la sua alimentazione, poi "
            "l'esposizione, e che nulla stia davanti all'obiettivo."
        ),
        Fact.ONLY_DARK: (
            "Su {camera} nessuna immagine mostra luce ({detail}): controllare la lampada e la sua "
            "alimentazione, poi l'esposizione, e che nulla stia davanti all'obiettivo."
        ),
        Fact.UNREAD: (
            "Su {camera} {detail} (ultimi {window} frutti): controllare come stanno i frutti nelle "
            "coppette e che il modello sia quello messo in servizio, tagliare i frutti a mano e "
            "chiamare il tecnico della visione."
        ),
        Fact.OTHER_FRUIT: (
            "Su {camera} il modello vede peggio i frutti, che hanno un altro colore ({detail}, su "
            "{window} frutti) mentre le coppette vuote sono come sempre: confrontare partita e "
            "varietà con quelle annunciate e tagliare i frutti a mano finché non è chiaro."
        ),
        Fact.READ_ELSEWHERE: (
            "Su {camera} {detail} (media di {window} spiegazioni), eppure gli angoli cambiano da "
            "frutto a frutto: li decide qualcos'altro nell'immagine; controllare i frutti "
            "tagliati, cercare segni o luci nelle coppette e chiamare il tecnico della visione."
        ),
    },
    signals={
        "no_read": "quota di frutti senza angolo",
        "confidence": "sicurezza dell'angolo",
        "plausibility": "somiglianza ai frutti noti",
        "suture_margin": "margine della sutura",
        "stem_margin": "margine del peduncolo",
        "suture_area": "area della sutura",
        "stem_area": "area del peduncolo",
        "elongation": "lunghezza su larghezza della sutura",
        "entropy": "entropia delle classi",
        "angle_concentration": "angoli tutti simili",
        "brightness": "luminosità",
        "focus": "nitidezza",
        "warmth": "rosso meno blu",
        "chromaticity": "rosso meno blu, sulla luminosità",
        "aperture": "parte illuminata del campo",
        "reliance_input": "peso dello sfondo, nascondendo l'immagine",
        "reliance_layer": "peso dello sfondo, nascondendo le mappe",
        "background_input": "effetto di nascondere lo sfondo nell'immagine",
        "background_layer": "effetto di nascondere lo sfondo nelle mappe",
        "foreground_input": "effetto di nascondere la sutura nell'immagine",
        "foreground_layer": "effetto di nascondere la sutura nelle mappe",
        "profile_cosine": "somiglianza degli effetti dei canali al riferimento",
        "profile_ndcg": "somiglianza dell'ordine dei canali al riferimento",
        "mass_suture": "rilevanza sulla sutura",
        "mass_stem": "rilevanza sul peduncolo",
        "mass_elsewhere": "rilevanza altrove",
        "total_effect": "somma degli effetti dei canali",
        "all_ones_share": "effetti uguali per tutti i canali",
        "agreement": "accordo della mappa con l'occlusione a blocchi",
        "score": "punteggio spiegato",
    },
    terms={
        "connecting": "in connessione",
        "live": "attiva",
        "stalled": "ferma",
        "frozen": "bloccata",
        "backoff": "in attesa di riprovare",
        "failed": "guasta",
        "ended": "finita",
        "start": "avvio",
        "retry": "nuovo tentativo",
        "first_frame": "prima immagine",
        "idle": "nessuna immagine attesa",
        "frames_resumed": "immagini tornate",
        "no_first_frame": "nessuna prima immagine",
        "silence": "silenzio",
        "silent_too_long": "silenzio troppo lungo",
        "identical": "immagini identiche",
        "size_changed": "dimensioni delle immagini cambiate",
        "near_identical": "immagini quasi identiche",
        "picture_changed": "immagine cambiata",
        "frozen_too_long": "bloccata troppo a lungo",
        "open_failed": "apertura fallita",
        "open_timeout": "apertura oltre il tempo",
        "read_failed": "lettura fallita",
        "read_timeout": "lettura oltre il tempo",
        "unplugged": "cavo di rete staccato",
        "no_answer": "la telecamera non risponde",
        "taken": "la telecamera è usata da un altro programma",
        "restarted": "telecamera riavviata",
        "moved": "la telecamera ha un altro indirizzo",
        "child_died": "processo di acquisizione terminato",
        "supervision_failed": "errore interno della sorveglianza",
        "permanent": "errore permanente",
        "end_of_source": "fine della sorgente",
        "the machine is not running": "la macchina non è in marcia",
        "its camera is lost": "la sua telecamera è persa",
        "its camera repeats one picture": "la sua telecamera ripete una sola immagine",
        "its pictures changed at the same time": (
            "le sue immagini sono cambiate nello stesso momento"
        ),
        "its explanations have found the cause": "le sue spiegazioni hanno trovato la causa",
        "its pictures are as usual, it is the model that sees less in them": (
            "le sue immagini sono come di solito, è il modello che vi vede meno"
        ),
        "its fruit have another colour, its empty cups have not": (
            "i suoi frutti hanno un altro colore, le coppette vuote no"
        ),
        "its answers differ, so something else in the picture decides them": (
            "le sue risposte variano, quindi le decide qualcos'altro nell'immagine"
        ),
        "its pictures are not as they should be": "le sue immagini non sono come dovrebbero",
        "the workers that explain are out of service": (
            "i processi che spiegano sono fuori servizio"
        ),
        "it came and went three times within a minute; ten quiet minutes end this": (
            "è venuto e andato tre volte in un minuto; finisce dopo dieci minuti di quiete"
        ),
        "not heard of since the restart": "nulla se ne sa dal riavvio",
        "no reference is configured": "nessun riferimento è configurato",
        "the machine does not run": "la macchina non è in marcia",
        "no variety is announced, and there are several": (
            "nessuna varietà è annunciata, e ce ne sono più d'una"
        ),
        "the state of the alarms could not be read": (
            "lo stato degli allarmi non si è potuto leggere"
        ),
        "alarm messages did not fit any more": "messaggi di allarme non hanno più trovato posto",
        "the state folder was removed or replaced": (
            "la cartella di stato è stata rimossa o sostituita"
        ),
        "the state file was damaged and set aside": (
            "il file di stato era danneggiato ed è stato messo da parte"
        ),
    },
    normal="Non è il caso su {camera}: {title}.",
    cleared="Rientrato su {camera}: {title}.",
    gone=(
        "Non più sorvegliato su {camera}: {title}. La telecamera, la corsia o il riferimento è "
        "stato tolto dalla configurazione."
    ),
    suppressed="{message} Non segnalato: {reason}.",
    this_agent="questo agente",
    nothing_known="nessun'altra indicazione",
    unknown_share="una quota ignota",
    unknown_time="un tempo ignoto",
    decimal_point=",",
)
