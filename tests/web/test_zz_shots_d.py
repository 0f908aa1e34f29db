from datetime import date
from annul.demo.families import Families
from tests.web.test_review import enter
from tests.web.test_review import somebody, newest, number, _orders, officer, open_page, seat, Act, chromium
def test_shots(chromium, house):
    import annul.registry.review.run as r
    from annul.registry.people.enrolment import Consent, Face
    from annul.demo.people import placeholder
    fam = Families(3, date(2026,11,1), error_share=0.25)
    enter(house, *fam.persons(400), somebody("王明", sex="F"))
    numbers=[number("110105","19800101",2*next(_orders)+1) for _ in range(2)]
    enter(house, somebody("韩梅梅", number=numbers[0], birth_date="1980-01-01"), somebody("李雷", number=numbers[1]))
    for n in numbers:
        house.run(house.office.enrolments.enrol(Act("issuer"), n, Consent("law","x","face"), face=Face(placeholder(1),"image/jpeg",80)))
    enter(house, somebody("赵一"))
    linked = newest(house, rule="same-person"); wrong = newest(house, rule="birth-date")
    q = house.call("GET","/v1/review/suspicions","issuer",params={"rule":"same-face"}).json()["suspicions"]
    prop = newest(house, rule="shared-number")
    house.call("POST", f"/v1/review/suspicions/{prop['id']}/decide","issuer",json={"decision":"same_person","grounds":"file 12"})
    vis = newest(house, rule="sex")
    house.call("POST", f"/v1/review/suspicions/{vis['id']}/decide","issuer",json={"decision":"correct_entry","grounds":"file 13","correction":{"sex":"M"}})
    for lang in ("en","zh"):
        for width in (1280,320):
            page = open_page(chromium, house, width=width, language=lang)
            seat(page, house, "officer", officer=officer(house, "issuer"), key_id=house.key_id("issuer"))
            for name, a in (("queue","/desk/review"),("linked",f"/desk/review/{linked['id']}"),("wrong",f"/desk/review/{wrong['id']}"),("face",f"/desk/review/{(q or [linked])[0]['id']}"),("prop",f"/desk/review/{prop['id']}"),("done",f"/desk/review/{vis['id']}"),("waiting","/desk/review/waiting"),("figures","/desk/review/figures")):
                page.goto(a); page.wait_for_timeout(300)
                page.screenshot(path=f"/tmp/dshot_{name}_{lang}_{width}.png", full_page=True)
            page.context.close()
