"""Questions that are kept by a name, on the workbench: keep one, ask it as a table, a chart or a
file, forget it.
"""

import asyncio
import re
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api.audit.recording import note
from api.routes.asked import the_twin
from api.routes.saved_queries import Kept, tried_and_kept
from api.routes.sql import principal
from api.routes.workbench import LONGEST_SQL, Question, answered, said, sheet, wanted_as
from twin_core.errors import QueryFailed, StoreBusy, StoreError, UsageError
from twin_core.store.saved import QUERY_NAME

router = APIRouter(include_in_schema=False)

LONGEST_ABOUT = 200


@router.post("/sql/queries")
async def keep(request: Request) -> Response:
    """Keep the question on the sheet by a name; what cannot be asked is explained there."""
    form = await said(request)
    kept = Kept(
        sql=form.get("sql", "").strip()[:LONGEST_SQL],
        release=form.get("release") or None,
        shared=form.get("shared") == "yes",
        about=form.get("about", "").strip()[:LONGEST_ABOUT],
    )
    name = form.get("name", "").strip()
    try:
        if not re.fullmatch(QUERY_NAME, name):
            raise UsageError(
                "A question is kept by a name.", do="Use letters, digits, dots, - and spaces."
            )
        await tried_and_kept(request, name, kept)
    except (UsageError, QueryFailed, StoreBusy, StoreError) as error:
        asked = Question(kept.sql, kept.release or "", form.get("chart", ""))
        return await sheet(request, wanted_as(asked, "rows"), fault=error)
    return RedirectResponse(f"/sql?{urlencode({'query': name})}", status_code=303)


@router.post("/sql/queries/{name}")
async def ask(request: Request, name: str) -> Response:
    """Ask what is kept, in the way that is wanted."""
    form = await said(request)
    found = await asyncio.to_thread(the_twin(request).saved_query, principal(request).id, name)
    asked = Question(found.sql, found.release or "", name=name)
    return await answered(request, wanted_as(asked, form.get("answer", "rows")))


@router.post("/sql/queries/{name}/forget")
async def forget(request: Request, name: str) -> Response:
    """Forget one's own question."""
    note(request, objects=(f"query/{name}",))
    await asyncio.to_thread(the_twin(request).forget_query, principal(request).id, name)
    return RedirectResponse("/sql", status_code=303)
