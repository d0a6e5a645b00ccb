"""Ordinary prose, written for this purpose, that stands before the prompts of files to bring them to equal lengths.

It says nothing that matters and holds no name, numeral or term: what the model takes from it is only that sentences
are written out, with their punctuation. Any run of sentences to the end of one reads naturally, wherever it begins.
"""

PROSE = {
    "en": (
        "We sat by the window for a while and looked out at the street. A neighbour was sweeping the leaves from the "
        "path, and some children were walking home with their bags. The light was soft, and nobody was in a hurry. "
        "Later on we made coffee and talked about the week. It had been busy, but most of the work was done, and the "
        "rest could wait. My sister had brought a cake, so we cut it and shared it out. After that we put on our "
        "coats and went for a walk along the river. The water was low, and the grass on the bank was still a little "
        "wet. On the way back we met an old friend and stopped to talk."
    ),
    "de": (
        "Wir saßen eine Weile am Fenster und schauten auf die Straße hinaus. Ein Nachbar fegte das Laub vom Weg, und "
        "ein paar Kinder gingen mit ihren Taschen nach Hause. Das Licht war weich, und niemand hatte es eilig. "
        "Später kochten wir Kaffee und sprachen über die Woche. Es war viel los gewesen, aber das meiste war "
        "erledigt, und der Rest konnte warten. Meine Schwester hatte einen Kuchen mitgebracht, also schnitten wir "
        "ihn an und teilten ihn auf. Danach zogen wir unsere Mäntel an und gingen am Fluss spazieren. Das Wasser "
        "stand niedrig, und das Gras am Ufer war noch ein wenig feucht. Auf dem Rückweg trafen wir einen alten "
        "Freund und blieben stehen."
    ),
    "es": (
        "Nos sentamos un rato junto a la ventana y miramos hacia la calle. Un vecino barría las hojas del camino, y "
        "unos chicos volvían a casa con sus mochilas. La luz era suave, y nadie tenía prisa. Más tarde hicimos café "
        "y hablamos de la semana. Había sido larga, pero casi todo estaba terminado, y lo demás podía esperar. Mi "
        "hermana había traído un pastel, así que lo cortamos y lo repartimos. Después nos pusimos los abrigos y "
        "salimos a caminar junto al río. El agua estaba baja, y la hierba de la orilla seguía un poco húmeda. A la "
        "vuelta encontramos a un viejo amigo y nos paramos a conversar."
    ),
    "fr": (
        "Nous sommes restés un moment près de la fenêtre à regarder la rue. Un voisin balayait les feuilles du "
        "chemin, et des enfants rentraient chez eux avec leurs sacs. La lumière était douce, et personne n'était "
        "pressé. Plus tard, nous avons fait du café et parlé de la semaine. Elle avait été chargée, mais presque "
        "tout était terminé, et le reste pouvait attendre. Ma sœur avait apporté un gâteau, alors nous l'avons coupé "
        "et partagé. Ensuite, nous avons mis nos manteaux et marché le long de la rivière. L'eau était basse, et "
        "l'herbe de la rive était encore un peu humide. Au retour, nous avons croisé un vieil ami et nous nous "
        "sommes arrêtés."
    ),
    "pt": (
        "Estávamos sentados junto à janela, e dali víamos a rua. Um vizinho varria as folhas do caminho, e algumas "
        "crianças voltavam para casa com as suas mochilas. A luz era suave, e ninguém tinha pressa. Mais tarde havia "
        "café na mesa, e a conversa era sobre a semana. Tinha sido longa, mas quase tudo estava pronto, e o resto "
        "podia esperar. A minha irmã trouxe um bolo, e cada um comeu uma fatia com muito gosto. Depois fomos "
        "caminhar ao longo do rio. A água estava baixa, e o chão da margem ainda estava um pouco molhado. No caminho "
        "de volta apareceu um velho amigo, e logo voltou a conversa."
    ),
    "it": (
        "Siamo rimasti un po' vicino alla finestra a guardare la strada. Un vicino spazzava le foglie dal vialetto, "
        "e alcuni ragazzi tornavano a casa con le loro borse. La luce era morbida, e nessuno aveva fretta. Più tardi "
        "abbiamo fatto il caffè e parlato della settimana. Era stata piena, ma quasi tutto era finito, e il resto "
        "poteva aspettare. Mia sorella aveva portato una torta, così l'abbiamo tagliata e divisa. Poi abbiamo messo "
        "i cappotti e siamo andati a camminare lungo il fiume. L'acqua era bassa, e l'erba sulla riva era ancora un "
        "po' bagnata. Al ritorno abbiamo incontrato un vecchio amico e ci siamo fermati a parlare."
    ),
    "nl": (
        "We zaten een tijdje bij het raam en keken naar buiten. Een buurman veegde de bladeren van het pad, en een "
        "paar kinderen liepen met hun tassen naar huis. Het licht was zacht, en niemand had haast. Later zetten we "
        "koffie en praatten we over de week. Het was druk geweest, maar het meeste was klaar, en de rest kon "
        "wachten. Mijn zus had een taart meegebracht, dus we sneden hem aan en deelden hem uit. Daarna trokken we "
        "onze jassen aan en gingen we wandelen langs de rivier. Het water stond laag, en het gras op de oever was "
        "nog een beetje nat. Op de terugweg kwamen we een oude vriend tegen en bleven we even staan."
    ),
}
"""By language: sentences, one after another."""
